/** The transport over one stream socket. */

import { ClosedError } from '../../core/errors.ts';
import type { SystemError } from '../../core/errors.ts';
import { DONE, END, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { formatAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import { BROKEN, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import type { Handle } from '../handle.ts';
import type { Selector } from '../selector.ts';
import { optionEntries } from './socket-options.ts';
import type { SocketOptionName, SocketOptions } from './socket-options.ts';
import { EAGAIN, EINTR, ENOBUFS, ENOMEM, ENOTCONN, EPIPE, systemError } from '../system-calls.ts';
import type { PeerCredentials, SystemCalls } from '../system-calls.ts';

/**
 * Owns one connected descriptor, from its registration until it is closed. It makes no system call while the readiness
 * of the handle says that the call cannot succeed.
 */
export class SocketTransport implements ConnectionSocket {
  readonly hasBuffered = false;
  readonly hasUnflushed = false;
  received = 0;
  failure: Error | undefined;
  readonly handle: Handle;
  readonly remoteAddress: Address | undefined;
  readonly #calls: SystemCalls;
  readonly #selector: Selector;
  /** The errno that broke the connection. It is kept because the system reports it only once; later reads return 0. */
  #brokenBy = 0;
  /** Whether a send has failed with EPIPE: the system had no more specific error, or had reported it already. */
  #isSendRefused = false;
  #sent = 0;
  #sendShut = false;
  #closed = false;

  /** @param handle a registered handle. */
  constructor(calls: SystemCalls, selector: Selector, handle: Handle, remoteAddress: Address | undefined) {
    this.#calls = calls;
    this.#selector = selector;
    this.handle = handle;
    this.remoteAddress = remoteAddress;
  }

  read(into: Uint8Array): number {
    if (this.failure !== undefined) throw this.failure;
    const { handle } = this;
    for (let tries = 0; tries < TRIES && (handle.readiness & READABLE) !== 0; tries++) {
      const count = this.#calls.recv(handle.fd, into);
      if (count > 0) {
        this.received += count;
        if (count < into.length && (handle.readiness & HANGUP) === 0) handle.readiness &= ~READABLE;
        return count;
      }
      if (count === 0) {
        // EPIPE is the error of a reset that came after the peer's end. Then the end is genuine.
        if (this.#brokenBy !== 0 && this.#brokenBy !== EPIPE)
          throw (this.failure = this.#error(this.#brokenBy, 'recv'));
        return END;
      }
      if (count === -EAGAIN) handle.readiness &= ~READABLE;
      else if (count !== -EINTR) throw (this.failure = this.#error(-count, 'recv'));
    }
    return WANT_READ;
  }

  write(from: Uint8Array): number {
    const { handle } = this;
    if (from.length === 0) return 0;
    for (let tries = 0; (handle.readiness & WRITABLE) !== 0; tries++) {
      const count = this.#calls.send(handle.fd, from);
      if (count >= 0) {
        this.#sent += count;
        if (count < from.length && count > 0 && (handle.readiness & HANGUP) === 0) handle.readiness &= ~WRITABLE;
        return count;
      }
      if (count === -EAGAIN) handle.readiness &= ~WRITABLE;
      // The system is short of memory for the moment. It does not report when it has memory again.
      else if (count === -ENOBUFS || count === -ENOMEM || (count === -EINTR && tries === TRIES)) return 0;
      else if (count !== -EINTR) {
        if (count === -EPIPE) this.#isSendRefused = true;
        else this.#brokenBy = -count;
        // Data that came before the error can be read at once, before the selector reports them.
        handle.readiness |= READABLE;
        // After the system has reported the reason once, it returns EPIPE.
        throw this.#error(this.#brokenBy === 0 ? EPIPE : this.#brokenBy, 'send');
      }
    }
    return WANT_WRITE;
  }

  handshake(): StepCode {
    return DONE;
  }

  flush(): StepCode {
    return DONE;
  }

  shutdown(): StepCode {
    if (!this.#sendShut && !this.#closed) {
      this.#sendShut = true;
      const result = this.#calls.shutdown(this.handle.fd, 1);
      if (result < 0 && result !== -ENOTCONN) throw systemError(result, 'shutdown');
    }
    return DONE;
  }

  onLookupAnswered(): void {
    // A socket never looks anything up.
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#selector.deregister(this.handle);
    this.handle.readiness = 0;
    this.#calls.close(this.handle.fd);
  }

  abort(): void {
    if (this.#closed) return;
    this.#calls.setOption(this.handle.fd, 'linger', 0);
    this.close();
  }

  get acknowledged(): number {
    return this.#sent - this.unacknowledged;
  }

  get unacknowledged(): number {
    if (this.#closed || this.#brokenBy !== 0 || (this.handle.readiness & BROKEN) !== 0) return 0;
    return Math.max(0, this.#calls.unacknowledged(this.handle.fd));
  }

  brokenBy(): Error | undefined {
    if (this.failure !== undefined || this.#closed) return this.failure;
    if (this.#brokenBy === 0) this.#brokenBy = Math.max(0, this.#calls.pendingError(this.handle.fd));
    if (this.#brokenBy === 0 && this.#isSendRefused) this.#brokenBy = EPIPE;
    return this.#brokenBy === 0 ? undefined : this.#error(this.#brokenBy, 'recv');
  }

  get localAddress(): Address | undefined {
    return this.#closed ? undefined : this.#calls.localAddress(this.handle.fd);
  }

  get peerCredentials(): PeerCredentials | undefined {
    return this.#closed ? undefined : this.#calls.peerCredentials(this.handle.fd);
  }

  /** @throws {SystemError} when the kernel refuses the option or its value. @throws {ClosedError} once closed. */
  setOption(name: SocketOptionName, value: number): void {
    this.#assertOpen('setOption');
    const result = this.#calls.setOption(this.handle.fd, name, value);
    if (result < 0) throw systemError(result, 'setsockopt', name);
  }

  /**
   * @throws {SystemError} when the kernel does not know the option for this kind of socket.
   * @throws {ClosedError} once closed.
   */
  option(name: SocketOptionName): number {
    this.#assertOpen('option');
    const value = this.#calls.option(this.handle.fd, name);
    // For `linger`, -1 means off.
    if (value < -1 || (value === -1 && name !== 'linger')) throw systemError(value, 'getsockopt', name);
    return value;
  }

  #error(errno: number, syscall: string): SystemError {
    return systemError(-errno, syscall, formatAddress(this.remoteAddress));
  }

  /** The number of a closed descriptor may belong to another socket by now. */
  #assertOpen(what: string): void {
    if (this.#closed) throw new ClosedError(`${what} refused: the connection is closed`);
  }
}

// After this many interruptions in a row, the call is tried again in the next turn, so that other connections can run.
const TRIES = 8;

/** Sets the options of a new socket. @throws {SystemError} when the kernel refuses one. */
export function applyOptions(calls: SystemCalls, fd: number, options: SocketOptions, family: Address['family']): void {
  for (const [name, value] of optionEntries(options, family)) {
    const result = calls.setOption(fd, name, value);
    if (result < 0) throw systemError(result, 'setsockopt', name);
  }
}
