// Styles of one element, set by script: `<div ${styled({ top: "4px", "--hue": "red" })}>`.
//
// Lit's styleMap writes the attribute `style` first, which the page's Content-Security-Policy forbids.

import { noChange } from "lit";
import { Directive, directive, type ElementPart } from "lit/directive.js";

class Styled extends Directive {
  #names = new Set<string>();

  render(_styles: Record<string, string | null>) {
    return noChange;
  }

  override update(part: ElementPart, [styles]: [Record<string, string | null>]) {
    const { style } = part.element as HTMLElement;
    for (const name of this.#names) if (styles[name] == null) style.removeProperty(name);
    this.#names = new Set(Object.keys(styles));
    for (const [name, value] of Object.entries(styles))
      if (value !== null) style.setProperty(name, value);
    return noChange;
  }
}

/** Sets properties as CSS names them; null takes one away. */
export const styled = directive(Styled);
