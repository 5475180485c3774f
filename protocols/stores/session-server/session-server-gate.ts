/** Limits how many tasks run at a time. */

/**
 * A counting semaphore: it admits `places` tasks, and the next one when one leaves. Only one task may wait to enter.
 */
export class Gate {
  readonly #places: number;
  #inside = 0;
  #wake: () => void = () => undefined;

  constructor(places: number) {
    this.#places = places;
  }

  /** Resolves when there is a free place, and takes it. */
  async enter(): Promise<void> {
    await this.#until(() => this.#inside < this.#places);
    this.#inside++;
  }

  leave(): void {
    this.#inside--;
    this.#wake();
  }

  /** Resolves when no place is taken. */
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
