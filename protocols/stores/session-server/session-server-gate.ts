/** How many may be inside at a time. */

/** Lets so many in, and the next when one has left. Only one may wait to enter. */
export class Gate {
  readonly #places: number;
  #inside = 0;
  #wake: () => void = () => undefined;

  constructor(places: number) {
    this.#places = places;
  }

  /** Resolves when there is a place, and takes it. */
  async enter(): Promise<void> {
    await this.#until(() => this.#inside < this.#places);
    this.#inside++;
  }

  leave(): void {
    this.#inside--;
    this.#wake();
  }

  /** Resolves when nobody is inside. */
  empty(): Promise<void> {
    return this.#until(() => this.#inside === 0);
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }
}
