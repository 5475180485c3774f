/**
 * The selector for real descriptors: one edge-triggered epoll instance, woken through Node's event loop.
 *
 * Theory of operation. Each descriptor is registered once, for both directions, so that reads and writes need no call
 * of epoll_ctl. One libuv poll handle watches the epoll descriptor itself. So an idle reactor costs nothing, and all
 * events of one wake-up need only one call into JavaScript. That call only defers the turn to an immediate. In code
 * that runs inside a foreign callback, promises would stall (Node ≥ 26.4); an immediate drains ticks and microtasks in
 * every version.
 */

import { isMainThread } from 'node:worker_threads';

import { UnsupportedError } from '../../core/errors.ts';
import { BROKEN, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import type { Handle } from '../handle.ts';
import type { Batch, Selector } from '../selector.ts';
import { ENOSPC, EPERM, systemError } from '../system-calls.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EVENT_BYTES, EVENT_DATA, libc } from './libc.ts';
import type { PollCalls, UvPoll } from './libc.ts';

/** Reports the readiness of real descriptors. */
export class EpollSelector implements Selector {
  readonly #calls: PollCalls;
  readonly #epoll: number;
  readonly #events = new Uint8Array(EVENT_BYTES * MAX_EVENTS);
  readonly #words = new Int32Array(this.#events.buffer);
  readonly #poll: UvPoll;
  readonly #handles: (Handle | undefined)[] = [];
  #generation = 0;
  #wake: () => void = () => undefined;

  /**
   * @throws {UnsupportedError} on a platform without epoll, or in a worker thread, whose event loop cannot be reached.
   * @throws {SystemError} when the process has no descriptor left.
   */
  constructor(calls: PollCalls = libc()) {
    if (!isMainThread)
      throw new UnsupportedError(
        'a reactor over real sockets runs in the main thread; use processes with reusePort instead of worker threads',
      );
    this.#calls = calls;
    this.#epoll = calls.epollCreate();
    if (this.#epoll < 0) throw systemError(this.#epoll, 'epoll_create1');
    this.#poll = calls.uvPoll(this.#epoll, () => {
      this.#wake();
    });
    this.#poll.setRef(false);
  }

  register(handle: Handle): void {
    this.#generation = (this.#generation + 1) | 0;
    handle.generation = this.#generation;
    const result = this.#calls.epollAdd(this.#epoll, handle.fd, handle.generation);
    if (result === -EPERM)
      throw systemError(
        result,
        'epoll_ctl',
        `descriptor ${String(handle.fd)} is not pollable; regular files never are`,
      );
    if (result === -ENOSPC)
      throw systemError(
        result,
        'epoll_ctl',
        'this user has reached the limit of watched descriptors, fs.epoll.max_user_watches',
      );
    if (result < 0) throw systemError(result, 'epoll_ctl');
    this.#handles[handle.fd] = handle;
  }

  deregister(handle: Handle): void {
    if (this.#handles[handle.fd] !== handle) return;
    this.#handles[handle.fd] = undefined;
    this.#calls.epollRemove(this.#epoll, handle.fd);
  }

  poll(batch: Batch): void {
    const words = this.#words;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const count = this.#calls.epollWait(this.#epoll, this.#events, MAX_EVENTS);
      for (let word = 0; word < count * EVENT_WORDS; word += EVENT_WORDS) {
        const handle = this.#handles[words[word + DATA_WORD]];
        // The descriptor was closed after the event came, and its number may belong to another socket now.
        if (handle === undefined || handle.generation !== words[word + DATA_WORD + 1]) continue;
        handle.readiness |= readinessOf(words[word]);
        batch.add(handle);
      }
      if (count < MAX_EVENTS) return;
    }
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
  }

  setRef(ref: boolean): void {
    this.#poll.setRef(ref);
  }

  close(): void {
    this.#poll.close();
    this.#calls.close(this.#epoll);
  }
}

function readinessOf(events: number): number {
  let readiness = 0;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) readiness |= READABLE;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0) readiness |= WRITABLE;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) readiness |= HANGUP;
  if ((events & EPOLLERR) !== 0) readiness |= BROKEN;
  return readiness;
}

const MAX_EVENTS = 512;
// Together 4096 events in one turn. The rest wait for the next turn.
const MAX_ROUNDS = 8;
const EVENT_WORDS = EVENT_BYTES / 4;
const DATA_WORD = EVENT_DATA / 4;
