/**
 * One end of a simulated connection, or a listener.
 *
 * Theory of operation. A socket has a send queue and a receive queue, both bounded. Bytes that `send` accepts go into
 * the send queue. The link carries them in segments, in order, to the receive queue of the peer, while that has room.
 * Each segment takes the latency of the link and the time that its bandwidth needs. When several segments arrive at the
 * same moment, the peer's reactor has a turn after each, so that a reader sees the stream in pieces. A segment occupies
 * room in the send queue until it has arrived, as with TCP's acknowledgements. To avoid ever smaller segments, as TCP
 * does, an endpoint sends only when the peer has room for the whole segment or half of the peer's receive buffer is
 * free. As in Linux, it is writable only when a third of its own send buffer is free. The end of the stream and a reset
 * travel behind the bytes that have left. A reset drops the bytes that have not left. Bytes that have arrived can
 * always be received. Readiness is reported when it begins, to the selector that watches.
 */

import type { Address } from '../addresses/address.ts';
import { BROKEN, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import { EAGAIN, ECONNRESET, EPIPE, ENOTCONN } from '../system-calls.ts';
import { ByteQueue } from './byte-queue.ts';
import type { Link } from './link.ts';

/** The part of a host's kernel that its sockets use. */
export interface Surroundings {
  /** Reports that `endpoint` has become ready. */
  ready(endpoint: Endpoint, readiness: number): void;
  /** The moment at which `bytes` bytes arrive if they leave now, by the latency and the bandwidth of the link. */
  arrivalTime(link: Link, bytes: number): number;
  /** Runs `task` at `at`, or now if that is past; if the link is partitioned then, when it heals. */
  deliver(link: Link, at: number, task: () => void): void;
}

/** A segment, an end or a reset on its way to the peer. */
interface Arrival {
  readonly at: number;
  readonly link: Link;
  readonly arrive: () => void;
}

/** A stream socket. */
export class Endpoint {
  /** The descriptor; -1 before the connection is accepted. */
  fd: number;
  readonly options = new Map<string, number>();
  readonly family: Address['family'];
  state: 'new' | 'listening' | 'connecting' | 'connected' | 'closed' = 'new';
  local: Address | undefined;
  remote: Address | undefined;
  /** SO_ERROR, which is reported only once. */
  pendingError = 0;
  /** The connections that wait to be accepted, if this is a listener. */
  readonly backlog: Endpoint[] = [];
  backlogLimit = 0;
  /** Cancels the timeout of a connect. */
  cancelTimeout: () => void = () => undefined;

  readonly #around: Surroundings;
  #link: Link | undefined;
  #peer: Endpoint | undefined;
  readonly #sending = new ByteQueue();
  readonly #received = new ByteQueue();
  #sendLimit: number;
  #receiveLimit: number;
  /** The bytes on their way, and the arrival of each segment, the oldest first. Only the oldest is scheduled. */
  #inTransit = 0;
  readonly #arrivals: Arrival[] = [];
  /** Whether this side was shut down, and whether its end has left. */
  #sendShut = false;
  #endLeft = false;
  /** Whether the peer's end has arrived. */
  #ended = false;
  #reset = false;

  constructor(fd: number, family: Address['family'], around: Surroundings, limits: { send: number; receive: number }) {
    this.fd = fd;
    this.family = family;
    this.#around = around;
    this.#sendLimit = limits.send;
    this.#receiveLimit = limits.receive;
  }

  /** Connects this end to the other end of a new connection. */
  join(peer: Endpoint, link: Link): void {
    this.#peer = peer;
    this.#link = link;
    this.cancelTimeout();
    this.state = 'connected';
  }

  /** The readiness that a selector would find now. */
  get readiness(): number {
    if (this.state === 'listening') return this.backlog.length > 0 ? READABLE : 0;
    if (this.state !== 'connected' && this.pendingError === 0 && !this.#reset) return 0;
    let bits = 0;
    if (this.#received.length > 0 || this.#ended || this.#reset || this.pendingError !== 0) bits |= READABLE;
    if (this.#isWritable || this.#reset || this.pendingError !== 0) bits |= WRITABLE;
    if (this.#ended || this.#reset) bits |= HANGUP;
    if (this.#reset || this.pendingError !== 0) bits |= BROKEN | HANGUP;
    return bits;
  }

  get #room(): number {
    return this.#sendLimit - this.#sending.length - this.#inTransit;
  }

  /** As in Linux, a third of the send buffer must be free. `send` takes bytes as long as there is any room. */
  get #isWritable(): boolean {
    return this.#room >= this.#sendLimit / 3;
  }

  /** How many of the sent bytes have not arrived at the peer's host. */
  get unacknowledged(): number {
    return this.#sending.length + this.#inTransit;
  }

  recv(into: Uint8Array): number {
    if (this.#received.length > 0) {
      const count = this.#received.shift(into);
      // There is room again for bytes that wait at the peer.
      this.#peer?.continueSending();
      return count;
    }
    // An end that was received stays an end, even if a reset came after it.
    if (this.#ended) return 0;
    if (this.pendingError !== 0) return -this.takeError();
    if (this.#reset) return 0;
    return this.state === 'connected' ? -EAGAIN : -ENOTCONN;
  }

  send(from: Uint8Array): number {
    if (this.pendingError !== 0) return -this.takeError();
    if (this.#sendShut || this.#reset) return -EPIPE;
    if (this.state !== 'connected') return -ENOTCONN;
    const count = Math.min(from.length, this.#room);
    if (count <= 0) return from.length === 0 ? 0 : -EAGAIN;
    this.#sending.push(from, count);
    this.continueSending();
    return count;
  }

  shutdown(): number {
    if (this.state !== 'connected') return -ENOTCONN;
    this.#sendShut = true;
    this.continueSending();
    return 0;
  }

  takeError(): number {
    const error = this.pendingError;
    this.pendingError = 0;
    return error;
  }

  setLimit(which: 'sendBuffer' | 'receiveBuffer', bytes: number): void {
    if (which === 'sendBuffer') this.#sendLimit = bytes;
    else this.#receiveLimit = bytes;
  }

  limit(which: 'sendBuffer' | 'receiveBuffer'): number {
    return which === 'sendBuffer' ? this.#sendLimit : this.#receiveLimit;
  }

  /**
   * Closes the descriptor. With unread bytes or a linger of zero, it sends a reset, as TCP does. Otherwise the sent
   * bytes still go out.
   */
  close(): void {
    if (this.state === 'closed') return;
    const connected = this.state === 'connected' && !this.#reset;
    const abort = this.options.get('linger') === 0 || this.#received.length > 0;
    // Linux resets the connections that were not accepted.
    if (this.state === 'listening')
      for (const waiting of this.backlog.splice(0)) {
        waiting.options.set('linger', 0);
        waiting.close();
      }
    this.cancelTimeout();
    this.state = 'closed';
    if (!connected) return;
    if (abort) this.#sendReset();
    else {
      this.#sendShut = true;
      this.continueSending();
    }
  }

  /** Breaks the connection, or fails a connect. `errno` is reported once. */
  fail(errno: number): void {
    if (this.#reset) return;
    this.cancelTimeout();
    this.#reset = true;
    this.pendingError = this.#ended && errno === ECONNRESET ? EPIPE : errno;
    this.#sending.clear();
    this.#around.ready(this, this.readiness);
  }

  /** Called on the connecting side when the connection is complete. */
  connected(): void {
    this.#around.ready(this, this.readiness);
  }

  /** Sends more bytes, and the end after them, if the peer has room. */
  continueSending(): void {
    const peer = this.#peer;
    const link = this.#link;
    if (peer === undefined || link === undefined || this.#reset) return;
    for (;;) {
      const room = peer.#receiveLimit - peer.#received.length - this.#inTransit;
      const wanted = Math.min(this.#sending.length, link.segment);
      // As TCP does, it waits for half the buffer instead of sending ever smaller segments (RFC 9293, section 3.8.6.2).
      if (wanted === 0 || (room < wanted && room < peer.#receiveLimit / 2)) break;
      this.#carry(link, peer, Math.min(room, wanted));
    }
    if (this.#sending.length === 0 && this.#sendShut && !this.#endLeft) {
      this.#endLeft = true;
      this.#depart(link, 0, () => {
        if (peer.#reset || peer.state === 'closed') return;
        peer.#ended = true;
        peer.#around.ready(peer, READABLE | HANGUP | (peer.#isWritable ? WRITABLE : 0));
      });
    }
  }

  #carry(link: Link, peer: Endpoint, count: number): void {
    const bytes = new ByteQueue();
    this.#sending.moveTo(bytes, count);
    this.#inTransit += count;
    this.#depart(link, count, () => {
      this.#inTransit -= count;
      if (peer.#reset) return;
      if (peer.state === 'closed') {
        // The peer has closed its socket. TCP answers with a reset.
        this.fail(ECONNRESET);
        return;
      }
      bytes.moveTo(peer.#received, count);
      peer.#around.ready(peer, READABLE | (peer.#isWritable ? WRITABLE : 0));
      if (this.state === 'connected' && this.#isWritable) this.#around.ready(this, WRITABLE);
    });
  }

  /** Sends a segment, the end or a reset. They arrive in order, even if the link becomes faster before they arrive. */
  #depart(link: Link, bytes: number, arrive: () => void): void {
    this.#arrivals.push({ at: this.#around.arrivalTime(link, bytes), link, arrive });
    if (this.#arrivals.length === 1) this.#scheduleArrival();
  }

  #scheduleArrival(): void {
    const [{ at, link }] = this.#arrivals;
    this.#around.deliver(link, at, () => {
      this.#arrivals[0].arrive();
      this.#arrivals.shift();
      // The reactor that this arrival has woken takes its turn before the next arrival of the same moment.
      if (this.#arrivals.length > 0) this.#scheduleArrival();
    });
  }

  #sendReset(): void {
    const peer = this.#peer;
    this.#reset = true;
    this.#sending.clear();
    if (peer === undefined || this.#link === undefined) return;
    this.#depart(this.#link, 0, () => {
      if (peer.state !== 'closed') peer.fail(ECONNRESET);
    });
  }
}
