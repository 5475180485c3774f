/**
 * Moves bytes from one connection to another in the style of select: try, and if that is not possible, wait for
 * readiness.
 */
import type { Subscription } from 'rxjs';
import { END, type Connection } from '../../reactor/index.ts';

/**
 * @param ended is called once, at the end of `from` or at the first error. Everything before the end has been sent to
 * `to`.
 */
export function pump(from: Connection, to: Connection, ended: () => void): void {
  let rest: Uint8Array | undefined;
  let waiting: Subscription;

  const receive = (): void => {
    for (let times = 0; times < TIMES_PER_TURN; times++) {
      const count = from.tryReceiveInto(buffer);
      if (count === END) return finish();
      if (count < 0) return;
      const sent = Math.max(0, to.trySend(buffer.subarray(0, count)));
      if (sent === count) continue;
      // All pumps share the buffer, so the rest must be copied.
      rest = buffer.slice(sent, count);
      waiting.unsubscribe();
      waiting = to.writable$.subscribe(guarded(send));
      return;
    }
  };

  const send = (): void => {
    if (rest === undefined) return;
    rest = rest.subarray(Math.max(0, to.trySend(rest)));
    if (rest.length > 0) return;
    rest = undefined;
    waiting.unsubscribe();
    waiting = from.readable$.subscribe(guarded(receive));
  };

  const finish = (): void => {
    waiting.unsubscribe();
    ended();
  };

  const guarded = (step: () => void) => (): void => {
    try {
      step();
    } catch {
      finish(); // a client has gone
    }
  };

  waiting = from.readable$.subscribe(guarded(receive));
}

const buffer = new Uint8Array(64 * 1024);
/** A limit, so that a peer that sends without end does not block the other peers. */
const TIMES_PER_TURN = 16;
