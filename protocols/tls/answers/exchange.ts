/** What the answers of one connection share. */

import type { TimeSource } from '../../../core/clock.ts';
import type { ContextSettings } from '../context/settings.ts';
import type { Pointer } from '../openssl.ts';
import { isThenable } from '../thenable.ts';
import { TlsError } from '../tls-error.ts';

/** How a connection waits for what it asks others. */
export interface Lookups extends TimeSource {
  /** Lets the handshake try again: an answer has come. */
  wake(): void;
}

/** The settings that hold for one connection, what it waits for, and what has failed. */
export class Exchange {
  readonly lookups: Lookups;
  /** Whether OpenSSL has reported something that must be acted on. */
  hasNews = false;
  #settings: ContextSettings;
  #ssl: Pointer = 0;
  #isWaiting = false;
  #error: Error | undefined;

  constructor(settings: ContextSettings, lookups: Lookups) {
    this.#settings = settings;
    this.lookups = lookups;
  }

  get settings(): ContextSettings {
    return this.#settings;
  }

  /** The SSL object that asks. */
  get ssl(): Pointer {
    return this.#ssl;
  }

  /** Whether an answer is awaited. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** What has ended the handshake, or the connection, on this side. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** From now on `settings` hold, for a new SSL object. */
  begin(settings: ContextSettings, ssl: Pointer): void {
    this.#settings = settings;
    this.#ssl = ssl;
  }

  /** Notes what an answer has thrown; the first one counts. */
  failed(error: unknown): void {
    this.#error ??=
      error instanceof TlsError
        ? error
        : new TlsError(`handshake failed: ${error instanceof Error ? error.message : String(error)}`, {
            reason: 'refused by this side',
            cause: error,
          });
    this.hasNews = true;
  }

  /** Notes a failure as it is, whatever its type; the first one counts. */
  endBy(error: Error): void {
    this.#error ??= error;
  }

  /** Asks, and notes the answer or the failure; at once, or when it comes. */
  ask<T>(question: () => T | Promise<T>, what: string, note: (answer: T) => void): void {
    const fail = (error: unknown): void => {
      this.failed(
        error instanceof TlsError
          ? error
          : new TlsError(
              `handshake failed: ${what} failed: ${error instanceof Error ? error.message : String(error)}`,
              { reason: `${what} failed`, cause: error },
            ),
      );
    };
    try {
      const answer = question();
      if (!isThenable(answer)) {
        note(answer);
        return;
      }
      this.#isWaiting = true;
      answer
        .then(note)
        .catch(fail)
        .finally(() => {
          this.#isWaiting = false;
          this.lookups.wake();
        });
    } catch (error) {
      fail(error);
    }
  }
}
