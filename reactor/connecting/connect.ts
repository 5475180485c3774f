/**
 * Connecting: the look-up, then the addresses one after the other with a head start for each (RFC 8305, "Happy
 * Eyeballs"), then the layer's handshake. All of this is one operation with one deadline.
 */

import type { SystemError } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import type { TransportLayer } from '../../core/transport-layer.ts';
import { DONE, WANT_LOOKUP, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { isPath, numericAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import { hostName } from '../addresses/host-name.ts';
import { resolve } from '../addresses/resolve.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectOptions } from './connect-options.ts';
import { Connection } from '../connections/connection.ts';
import { layered } from '../connections/connection-basis.ts';
import type { ConnectionBasis } from '../connections/connection-basis.ts';
import type { Loop, LoopStep } from '../loop.ts';
import type { SocketTransport } from '../connections/socket-transport.ts';

/**
 * Tries the addresses of a target in order, with overlap. The first that connects wins; the other sockets are closed.
 */
export class ConnectStep implements LoopStep<Connection> {
  readonly name = 'connect';
  readonly #loop: Loop;
  readonly #options: ConnectOptions;
  #layer: TransportLayer<Connection, ConnectionBasis> | undefined;
  readonly #serverName: string | undefined;
  /** Cancels the look-up that is running. */
  #lookUp: AbortController | undefined;
  readonly #attempts: ConnectAttempt[] = [];
  readonly #wake = (): void => {
    if (this.#operation !== undefined) this.#loop.wake(this.#operation);
  };
  #operation: Operation<unknown> | undefined;
  #addresses: Address[] | undefined;
  /** The address of the socket that was connected. */
  #connected: Address | undefined;
  #isRedial = false;
  #failure: Error | undefined;
  #socket: SocketTransport | undefined;
  #connection: Connection | undefined;
  #cancelHeadStart: (() => void) | undefined;
  /** Whether the next address may be tried: the last attempt has failed, or its head start is over. */
  #mayTryNext = true;

  constructor(
    loop: Loop,
    options: ConnectOptions,
    layer?: TransportLayer<Connection, ConnectionBasis>,
    serverName?: string,
  ) {
    this.#loop = loop;
    this.#options = options;
    this.#layer = layer;
    this.#serverName = serverName;
  }

  runsIn(operation: Operation<unknown>): void {
    this.#operation = operation;
  }

  attempt(): StepCode {
    if (this.#addresses === undefined) return this.#begin();
    if (this.#socket === undefined && !this.#connect(this.#addresses)) return WANT_WRITE;
    return this.#handshake();
  }

  result(): Connection {
    return this.#connection as Connection;
  }

  progress(): number {
    return this.#attempts.length;
  }

  release(failed: boolean): void {
    this.#lookUp?.abort();
    this.#cancelHeadStart?.();
    for (const attempt of this.#attempts) attempt.close();
    if (!failed) return;
    // A layer that refuses has created no connection to own the socket.
    if (this.#connection === undefined) this.#socket?.close();
    // A connection that has failed by itself is closed already. It may still send an alert, so it is not aborted.
    else if (!this.#connection.closed) this.#connection.abort();
  }

  #begin(): StepCode {
    const options = this.#options;
    if (isPath(options)) {
      this.#addresses = [{ family: 'unix', path: options.path }];
      return this.attempt();
    }
    if (this.#lookUp !== undefined) return WANT_LOOKUP;
    const { host, port } = options;
    const numeric = numericAddress(host, port);
    if (numeric !== undefined) {
      this.#addresses = [numeric];
      return this.attempt();
    }
    this.#lookUp = new AbortController();
    resolve(this.#loop.ground, host, port, this.#lookUp.signal).then(
      (addresses) => {
        this.#lookedUp(interleaved(addresses));
      },
      (error: unknown) => {
        this.#failure = error as Error;
        this.#lookedUp([]);
      },
    );
    return WANT_LOOKUP;
  }

  #lookedUp(addresses: Address[]): void {
    this.#lookUp = undefined;
    this.#addresses = addresses;
    this.#wake();
  }

  /** @returns whether a socket is connected now. @throws the last failure when no address is left. */
  #connect(addresses: Address[]): boolean {
    for (;;) {
      for (const attempt of this.#attempts) {
        const error = attempt.poll();
        if (error === undefined) continue;
        this.#attempts.splice(this.#attempts.indexOf(attempt), 1);
        if (error === null) {
          this.#take(attempt);
          return true;
        }
        this.#failed(error);
        break;
      }
      if (this.#attempts.length > 0 && !this.#mayTryNext) return false;
      const address = addresses.shift();
      if (address !== undefined) this.#try(address, addresses.length > 0);
      else if (this.#attempts.length === 0) throw this.#failure as Error;
      else return false;
    }
  }

  #failed(error: SystemError): void {
    this.#failure = error;
    this.#mayTryNext = true;
  }

  #try(address: Address, hasMore: boolean): void {
    this.#mayTryNext = false;
    this.#cancelHeadStart?.();
    try {
      this.#attempts.push(new ConnectAttempt(this.#loop, address, this.#options, this.#wake));
    } catch (error) {
      this.#failed(error as SystemError);
      return;
    }
    if (!hasMore) return;
    this.#cancelHeadStart = this.#loop.after(HEAD_START_MS, () => {
      this.#mayTryNext = true;
      this.#wake();
    });
  }

  #take(attempt: ConnectAttempt): void {
    this.#cancelHeadStart?.();
    for (const other of this.#attempts.splice(0)) other.close();
    this.#socket = attempt.takeSocket();
    this.#connected = attempt.address;
    const host = isPath(this.#options) ? undefined : hostName(this.#options.host, 'host');
    const basis: ConnectionBasis = { loop: this.#loop, socket: this.#socket, role: 'client', host };
    const options = this.#serverName === undefined ? {} : { serverName: this.#serverName };
    this.#connection =
      this.#layer === undefined
        ? new Connection(this.#socket, basis)
        : layered(this.#layer, this.#socket, basis, options);
  }

  /** Runs the layer's handshake step by step. Changes of the connection's readiness wake the operation. */
  #handshake(): StepCode {
    const connection = this.#connection as Connection;
    let code;
    try {
      code = connection.tryHandshake();
    } catch (error) {
      const layer = this.#isRedial ? undefined : this.#layer?.redial?.(connection.transport, error);
      if (layer === undefined) throw error;
      return this.#redial(connection, layer);
    }
    if (this.#operation !== undefined) {
      if (code === DONE) connection.unwatch(this.#operation);
      else connection.watch(this.#operation);
    }
    return code;
  }

  /** Connects once more to the address that has answered, and retries the handshake with `layer`. */
  #redial(failed: Connection, layer: TransportLayer<Connection, ConnectionBasis>): StepCode {
    if (this.#operation !== undefined) failed.unwatch(this.#operation);
    failed.abort();
    this.#isRedial = true;
    this.#layer = layer;
    this.#socket = undefined;
    this.#connection = undefined;
    this.#mayTryNext = true;
    this.#addresses = [this.#connected as Address];
    return this.attempt();
  }
}

/** Alternates between the address families, beginning with that of the first address (RFC 8305, section 4). */
function interleaved(addresses: readonly Address[]): Address[] {
  const first = addresses.filter((address) => address.family === addresses[0]?.family);
  const second = addresses.filter((address) => address.family !== addresses[0]?.family);
  return first
    .flatMap((address, index) => [address, ...second.slice(index, index + 1)])
    .concat(second.slice(first.length));
}

// The "Connection Attempt Delay" of RFC 8305, section 5.
const HEAD_START_MS = 250;
