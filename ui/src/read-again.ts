// Reading again what changes: at once, then at most every so often, however many changes come.

/** Reads, one reading at a time; a hidden tab reads when it is looked at. */
export class ReadAgain {
  #busy = false;
  #wanted = false;
  #reading = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `read` handles its errors itself; `pause` is the least time between two readings, in milliseconds. */
  constructor(
    private readonly read: (signal: AbortSignal) => Promise<void>,
    private readonly pause: number,
  ) {}

  /** Read now, or once more when the pause after the last reading is over. */
  soon(): void {
    if (this.#busy) this.#wanted = true;
    else void this.#run();
  }

  /** Call off what is under way and what is wanted; later calls read as before. */
  close(): void {
    this.#reading.abort();
    this.#reading = new AbortController();
    clearTimeout(this.#timer);
    this.#busy = this.#wanted = false;
  }

  async #run(): Promise<void> {
    const { signal } = this.#reading;
    this.#busy = true;
    if (document.hidden) await becomesVisible();
    if (signal.aborted) return;
    this.#wanted = false;
    await this.read(signal);
    if (signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#busy = false;
      if (this.#wanted) void this.#run();
    }, this.pause);
  }
}

function becomesVisible(): Promise<unknown> {
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}
