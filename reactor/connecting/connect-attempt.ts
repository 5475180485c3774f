/** One attempt to connect one socket to one address. */

import type { SystemError } from '../../core/errors.ts';
import { formatAddress, numericAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import type { ConnectOptions } from './connect-options.ts';
import { Handle, WRITABLE } from '../handle.ts';
import type { HandleOwner } from '../handle.ts';
import type { Loop } from '../loop.ts';
import { applyOptions, SocketTransport } from '../connections/socket-transport.ts';
import { EAGAIN, EINPROGRESS, EINTR, systemError } from '../system-calls.ts';

/**
 * Owns its descriptor until the caller takes the socket or closes the attempt. The descriptor is registered after
 * connect(2) has returned, because epoll reports a hangup for a socket that was never connected.
 */
export class ConnectAttempt implements HandleOwner {
  readonly #loop: Loop;
  readonly address: Address;
  readonly #wake: () => void;
  readonly #handle: Handle;
  #socket: SocketTransport | undefined;
  #cancelRetry: (() => void) | undefined;
  #retryMs = SHORTEST_RETRY_MS;
  #failure: SystemError | undefined;
  #taken = false;

  /** @throws {SystemError} when the attempt fails at once. */
  constructor(loop: Loop, address: Address, options: ConnectOptions, wake: () => void) {
    this.#loop = loop;
    this.address = address;
    this.#wake = wake;
    const { calls } = loop.ground;
    const fd = calls.socket(address.family);
    if (fd < 0) throw systemError(fd, 'socket');
    this.#handle = new Handle(fd);
    this.#handle.owner = this;
    try {
      applyOptions(calls, fd, options, address.family);
      if (options.localAddress !== undefined) this.#bind(options.localAddress);
      this.#connect();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Hands the connected socket over to the caller, who owns it from now on. Valid only after {@link poll} has returned
   * `null`.
   */
  takeSocket(): SocketTransport {
    this.#taken = true;
    return this.#socket as SocketTransport;
  }

  /**
   * @returns the error when the attempt has failed; `null` when it is connected; `undefined` while it is in progress.
   */
  poll(): SystemError | null | undefined {
    if (this.#failure !== undefined) {
      this.close();
      return this.#failure;
    }
    if (this.#socket === undefined || (this.#handle.readiness & WRITABLE) === 0) return undefined;
    const errno = this.#loop.ground.calls.pendingError(this.#handle.fd);
    if (errno === 0) return null;
    this.close();
    return this.#error(-errno);
  }

  dispatch(): void {
    this.#wake();
  }

  close(): void {
    if (this.#taken) return;
    this.#taken = true;
    this.#cancelRetry?.();
    this.#handle.owner = undefined;
    if (this.#socket !== undefined) this.#socket.close();
    else this.#loop.ground.calls.close(this.#handle.fd);
  }

  #bind(host: string): void {
    const local = numericAddress(host, 0);
    if (local === undefined) throw new RangeError(`localAddress must be an IP address, not "${host}"`);
    const result = this.#loop.ground.calls.bind(this.#handle.fd, local);
    if (result < 0) throw systemError(result, 'bind', host);
  }

  #connect(): void {
    const { calls, selector } = this.#loop.ground;
    const { fd } = this.#handle;
    const result = calls.connect(fd, this.address);
    // The backlog of the listener is full. For Unix sockets, the kernel does not report when it has room again.
    if (result === -EAGAIN && this.address.family === 'unix') {
      this.#retryLater();
      return;
    }
    // A connect that a signal has interrupted continues in the kernel. A second call would only find it in progress.
    if (result < 0 && result !== -EINPROGRESS && result !== -EINTR) throw this.#error(result);
    selector.register(this.#handle);
    this.#socket = new SocketTransport(calls, selector, this.#handle, this.address);
  }

  #retryLater(): void {
    this.#cancelRetry = this.#loop.after(this.#retryMs, () => {
      this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
      try {
        this.#connect();
      } catch (error) {
        this.#failure = error as SystemError;
      }
      this.#wake();
    });
  }

  #error(negativeErrno: number): SystemError {
    return systemError(negativeErrno, 'connect', formatAddress(this.address));
  }
}

const SHORTEST_RETRY_MS = 1;
const LONGEST_RETRY_MS = 100;
