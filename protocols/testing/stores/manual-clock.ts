/** A clock that only `pass` advances. */
export class ManualClock {
  #now: number;

  /** @param start the initial time, in milliseconds. */
  constructor(start = 1_000) {
    this.#now = start;
  }

  readonly now = (): number => this.#now;

  readonly pass = (ms: number): void => {
    this.#now += ms;
  };
}
