// Keys of requests that a person may repeat by pressing a button again.

import { newKey } from "./api.js";

/** Gives the same key to the same request until that has succeeded: pressed again, it is not done twice. */
export class RepeatedKey {
  #key = "";
  #body = "";

  of(body: unknown): string {
    const text = JSON.stringify(body);
    if (!this.#key || text !== this.#body) this.#key = newKey();
    this.#body = text;
    return this.#key;
  }

  /** Note that it has succeeded: the same once more is another request. */
  done(): void {
    this.#key = "";
  }
}
