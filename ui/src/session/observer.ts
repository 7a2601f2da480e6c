// The base of the elements that show a session: they are drawn again whenever something of it is another.

import { property } from "lit/decorators.js";
import { Part } from "../element.js";
import type { Cockpit } from "./cockpit.js";

export class CockpitPart extends Part {
  @property({ attribute: false }) cockpit!: Cockpit;

  #watched: Cockpit | undefined;
  readonly #draw = (): void => this.requestUpdate();

  override willUpdate(): void {
    if (this.cockpit === this.#watched) return;
    this.#watched?.removeEventListener("change", this.#draw);
    this.#watched = this.cockpit;
    this.#watched.addEventListener("change", this.#draw);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#watched?.removeEventListener("change", this.#draw);
    this.#watched = undefined;
  }
}
