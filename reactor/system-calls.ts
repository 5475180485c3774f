/** The system calls of sockets, as one interface, so that they can be wrapped or simulated. */

import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

import { SystemError } from '../core/errors.ts';
import type { Address } from './addresses/address.ts';
import type { SocketOptionName } from './connections/socket-options.ts';

/**
 * Non-blocking socket calls. Each returns a number ≥ 0 or a negative errno, so that reads and writes neither throw nor
 * allocate. Descriptors are closed on exec.
 */
export interface SystemCalls {
  /** @returns a new stream socket. */
  socket(family: Address['family']): number;
  /** bind(2). */
  bind(fd: number, address: Address): number;
  /** listen(2). */
  listen(fd: number, backlog: number): number;
  /** connect(2); `-EINPROGRESS` while it is in progress. */
  connect(fd: number, address: Address): number;
  /** @returns the descriptor of a new connection. The address of its peer is stored in `peer`. */
  accept(fd: number, peer: { address?: Address | undefined }): number;
  /** @returns the number of bytes received; 0 at the end of the stream. */
  recv(fd: number, into: Uint8Array): number;
  /** @returns the number of bytes sent. Never raises SIGPIPE. */
  send(fd: number, from: Uint8Array): number;
  /** shutdown(2): 0 ends receiving, 1 sending, 2 both. */
  shutdown(fd: number, how: 0 | 1 | 2): number;
  /** close(2). */
  close(fd: number): number;
  /** setsockopt(2), by the name of the option. */
  setOption(fd: number, name: SocketOptionName, value: number): number;
  /** @returns the value, or a negative errno. */
  option(fd: number, name: SocketOptionName): number;
  /** @returns the pending error of the socket (SO_ERROR) as a positive errno, 0 for none. The call clears it. */
  pendingError(fd: number): number;
  /** @returns how many of the sent bytes the peer's system has not acknowledged yet (SIOCOUTQ), or a negative errno. */
  unacknowledged(fd: number): number;
  /** getsockname(2); `undefined` when the socket has no address. */
  localAddress(fd: number): Address | undefined;
  /**
   * @returns the process at the other end of a Unix socket, as it was when it connected or began to listen; `undefined`
   * for other sockets.
   */
  peerCredentials(fd: number): PeerCredentials | undefined;
  /** Removes the file of a Unix socket. */
  unlink(path: string): number;
  /** @returns the file at `path`, if it is the file of a Unix socket. Symbolic links are not followed. */
  socketFile(path: string): SocketFile | undefined;
  /**
   * Creates or opens a file and locks it. The lock ends when the descriptor is closed or the process dies.
   * @returns the descriptor of the file; `-EAGAIN` when another process holds the lock.
   */
  lock(path: string): number;
  /** @returns a descriptor to hold in reserve: it is closed when the process needs a descriptor and has none left. */
  reserve(): number;
}

/** The file of a Unix socket. */
export interface SocketFile {
  /** Its device and inode. They distinguish it from another file at the same path. */
  readonly id: string;
  /** Its owner. */
  readonly uid: number;
}

/** The process at the other end of a Unix socket, as the kernel reports it. */
export interface PeerCredentials {
  readonly pid: number;
  /** The effective user id. */
  readonly uid: number;
  /** The effective group id. */
  readonly gid: number;
}

/**
 * Passes every call on to `calls`, for wrappers that replace some of them. Unlike a spread, it works for instances of
 * classes too.
 */
export function passOn(calls: SystemCalls): SystemCalls {
  return {
    socket: (family) => calls.socket(family),
    bind: (fd, address) => calls.bind(fd, address),
    listen: (fd, backlog) => calls.listen(fd, backlog),
    connect: (fd, address) => calls.connect(fd, address),
    accept: (fd, peer) => calls.accept(fd, peer),
    recv: (fd, into) => calls.recv(fd, into),
    send: (fd, from) => calls.send(fd, from),
    shutdown: (fd, how) => calls.shutdown(fd, how),
    close: (fd) => calls.close(fd),
    setOption: (fd, name, value) => calls.setOption(fd, name, value),
    option: (fd, name) => calls.option(fd, name),
    pendingError: (fd) => calls.pendingError(fd),
    unacknowledged: (fd) => calls.unacknowledged(fd),
    localAddress: (fd) => calls.localAddress(fd),
    peerCredentials: (fd) => calls.peerCredentials(fd),
    unlink: (path) => calls.unlink(path),
    socketFile: (path) => calls.socketFile(path),
    lock: (path) => calls.lock(path),
    reserve: () => calls.reserve(),
  };
}

/**
 * @param subject what the call was about, such as an address.
 * @returns the error for a negative errno that `syscall` returned.
 */
export function systemError(negativeErrno: number, syscall: string, subject?: string): SystemError {
  const [code, description] = getSystemErrorMap().get(negativeErrno) ?? [
    `ERRNO_${String(-negativeErrno)}`,
    'unknown error',
  ];
  return new SystemError(code, -negativeErrno, syscall, description, subject);
}

/** The positive numbers of the errors that the code distinguishes. */
export const {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EALREADY,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINTR,
  EINVAL,
  EISCONN,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOPROTOOPT,
  ENOSPC,
  ENOTCONN,
  EPERM,
  EPIPE,
  ETIMEDOUT,
} = constants.errno;
