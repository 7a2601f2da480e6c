// The base of all elements of the page.

import { LitElement, type CSSResultGroup } from "lit";
import { live } from "./live.js";
import { shared } from "./styles.js";
import type { RunEvent } from "./types.js";

/** An element with the shared look; what it has begun while it was shown ends when it is taken away. */
export class Part extends LitElement {
  static override styles: CSSResultGroup = [shared];

  #endings: (() => void)[] = [];

  /** Do something when the element is taken away. */
  protected whenGone(ending: () => void): void {
    this.#endings.push(ending);
  }

  /** Listen as long as the element is shown. */
  protected listen(target: EventTarget, name: string, listener: (event: Event) => void): void {
    target.addEventListener(name, listener);
    this.whenGone(() => target.removeEventListener(name, listener));
  }

  /** Follow runs as long as the element is shown; null means all of the caller's. */
  protected followRuns(ids: readonly string[] | null, onEvent: (event: RunEvent) => void): void {
    this.whenGone(ids === null ? live.all(onEvent) : live.runs(ids, onEvent));
  }

  /** Do something whenever events begin to come again, as long as the element is shown. */
  protected whenLive(action: () => unknown): void {
    this.listen(live, "change", () => live.state === "live" && void action());
  }

  /** Do something every so many milliseconds while the element is shown and its tab is visible. */
  protected every(milliseconds: number, action: () => void): void {
    const timer = setInterval(() => document.hidden || action(), milliseconds);
    this.whenGone(() => clearInterval(timer));
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    const endings = this.#endings;
    this.#endings = [];
    endings.forEach((ending) => ending());
  }
}

/** Return an element of a name with these properties: the former one, if it has that name. */
export function elementOf(name: string, former: Element | undefined, properties: object): Element {
  return Object.assign(
    former?.localName === name ? former : document.createElement(name),
    properties,
  );
}

/** Return what was typed or chosen in the input that an event is of. */
export function valueOf(event: Event): string {
  return (event.target as HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement).value;
}
