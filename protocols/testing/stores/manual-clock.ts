/** A clock that goes on when it is told to. */
export class ManualClock {
  #now: number;

  /** @param start its first moment, in milliseconds. */
  constructor(start = 1_000) {
    this.#now = start;
  }

  readonly now = (): number => this.#now;

  readonly pass = (ms: number): void => {
    this.#now += ms;
  };
}
