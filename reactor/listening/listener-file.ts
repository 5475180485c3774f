/** The file of a listening Unix socket, and when it may be removed. */

import { resolve } from 'node:path';

import { formatAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import { EADDRINUSE, EAGAIN, ECONNREFUSED, EINTR, EPERM, systemError } from '../system-calls.ts';
import type { SystemCalls } from '../system-calls.ts';

/**
 * The file at the path of a listener. In a hot restart, the new process takes the path over before the old one ends. So
 * a listener removes the file only if it is still the one that it created. The path is absolute, because the process
 * may change its working directory.
 */
export class ListenerFile {
  readonly #calls: SystemCalls;
  readonly #address: Address & { readonly family: 'unix' };
  /** Empty for abstract names, which have no file. */
  readonly #path: string;
  #id: string | undefined;

  constructor(calls: SystemCalls, address: Address & { readonly family: 'unix' }) {
    this.#calls = calls;
    this.#address = address;
    this.#path = address.path.startsWith('\0') ? '' : resolve(address.path);
  }

  /** Records the identity of the file, after the socket was bound. */
  claim(): void {
    if (this.#path !== '') this.#id = this.#calls.socketFile(this.#path)?.id;
  }

  /** Removes the file, unless another file has replaced it. */
  remove(): void {
    const id = this.#id;
    this.#id = undefined;
    if (id !== undefined && this.#calls.socketFile(this.#path)?.id === id) this.#calls.unlink(this.#path);
  }

  /**
   * Removes a stale file, then runs `bind`. It holds a lock during both, because a socket that is bound but does not
   * listen yet refuses connections like a stale one.
   * @throws {SystemError} `EADDRINUSE` when another process listens there or is about to; `EPERM` when the file is
   * another user's.
   */
  replacing(bind: () => void): void {
    if (this.#path === '') {
      bind();
      return;
    }
    const lock = this.#calls.lock(`${this.#path}.lock`);
    if (lock === -EAGAIN)
      throw systemError(-EADDRINUSE, 'bind', `${formatAddress(this.#address)}; another process is taking it over`);
    if (lock < 0) throw systemError(lock, 'open', `${this.#path}.lock`);
    try {
      this.#removeStale();
      bind();
    } finally {
      this.#calls.close(lock);
    }
  }

  #removeStale(): void {
    const calls = this.#calls;
    const file = calls.socketFile(this.#path);
    if (file === undefined) return;
    if (file.uid !== process.geteuid?.()) throw systemError(-EPERM, 'unlink', `${this.#path} belongs to another user`);
    const fd = calls.socket('unix');
    if (fd < 0) throw systemError(fd, 'socket');
    // If a process listens, the connect succeeds, or fails with EAGAIN when the backlog is full.
    let result = calls.connect(fd, this.#address);
    while (result === -EINTR) result = calls.connect(fd, this.#address);
    calls.close(fd);
    if (result !== -ECONNREFUSED)
      throw systemError(-EADDRINUSE, 'bind', `${formatAddress(this.#address)}; another process listens there`);
    if (calls.socketFile(this.#path)?.id === file.id) calls.unlink(this.#path);
  }
}
