/** A write may fail because the peer broke the connection. What the peer sent before that is still received. */

import { describe, expect, it, vi } from 'vitest';

import { DONE, END, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import type { LayerOptions } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import { openssl } from './openssl.ts';
import { localhost, withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { TlsContext } from './context/context.ts';
import type { TlsServerOptions, TlsVersion } from './context/options.ts';
import { renegotiated } from './rehandshake.ts';
import { TlsTransport } from './tls-transport.ts';

function tlsOver(context: TlsContext, below: Transport, options: LayerOptions): TlsTransport {
  const transport = context.transport(below, options);
  if (!(transport instanceof TlsTransport)) throw new Error('a TLS context makes TLS transports');
  return transport;
}

/** One end of a wire without a kernel: written bytes reach the other end at once. */
class Wire implements Transport {
  readonly failure = undefined;
  readonly hasBuffered = false;
  readonly hasUnflushed = false;
  received = 0;
  readonly inbox: (Uint8Array | Error)[] = [];
  other: Wire | undefined;
  /** Whether the peer has ended its side. */
  ended = false;
  /** Whether writes fail: the next write still arrives, but throws. */
  breaks = false;
  /** How many bytes the wire still accepts. */
  takes = Infinity;
  /** Called after each write of this end. */
  onWritten: () => void = () => undefined;

  read(into: Uint8Array): number {
    const [piece] = this.inbox;
    if (piece === undefined) return this.ended ? END : WANT_READ;
    if (piece instanceof Error) throw piece;
    this.inbox.shift();
    into.set(piece);
    this.received += piece.length;
    return piece.length;
  }

  write(from: Uint8Array): number {
    const count = Math.min(from.length, this.takes);
    if (count > 0) this.other?.inbox.push(from.slice(0, count));
    this.takes -= count;
    this.onWritten();
    if (this.breaks) throw new Error('the wire is broken');
    return count > 0 ? count : WANT_WRITE;
  }

  readonly handshake = (): StepCode => DONE;
  readonly flush = (): StepCode => DONE;
  readonly shutdown = (): StepCode => DONE;
  readonly onLookupAnswered = (): void => undefined;
  readonly close = (): void => undefined;
  readonly abort = (): void => undefined;
}

interface Ends {
  readonly client: TlsTransport;
  readonly server: TlsTransport;
  /** The wires below the two ends. */
  readonly under: { readonly client: Wire; readonly server: Wire };
  shake(): void;
  /** The server ends the connection with an alert, `bad_record_mac`. */
  alert(): void;
}

/** Calls `use` with both ends of a connection, before their handshake. */
function withEnds(
  version: TlsVersion,
  use: (ends: Ends) => void,
  options: Partial<TlsServerOptions> = {},
): Promise<void> {
  return withSecureReactor(async (secure) => {
    const protocols = { min: version, max: version };
    const contexts = [await secure.client({ protocols }), await secure.server({ protocols, ...options })] as const;
    const under = { client: new Wire(), server: new Wire() };
    [under.client.other, under.server.other] = [under.server, under.client];
    const client = tlsOver(contexts[0], under.client, { role: 'client', serverName: 'localhost' });
    const server = tlsOver(contexts[1], under.server, { role: 'server' });
    try {
      use({
        client,
        server,
        under,
        shake: () => {
          for (let turns = 0; turns < 4; turns++) {
            client.handshake();
            server.handshake();
          }
          expect([client.established, server.established]).toEqual([true, true]);
        },
        alert: () => {
          under.server.inbox.push(Buffer.concat([Uint8Array.of(23, 3, 3, 0, 64), Buffer.alloc(64, 1)]));
          while (server.failure === undefined) outcome(() => readFrom(server));
        },
      });
    } finally {
      client.close();
      server.close();
    }
  });
}

function readFrom(transport: Transport): string | number {
  const into = new Uint8Array(1024);
  const count = transport.read(into);
  return count > 0 ? Buffer.from(into.subarray(0, count)).toString() : count;
}

/** @returns what `call` returns or throws. */
function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

const hello = Buffer.from('hello');
const broken = expect.objectContaining({ message: 'the wire is broken' }) as unknown;
const refused = expect.objectContaining({ name: 'TlsError', side: 'remote', alert: 116 }) as unknown;
const alerted = expect.objectContaining({ name: 'TlsError', side: 'remote', alert: 20 }) as unknown;

/** Starts a handshake. The client's wire breaks with its last flight; `serverSays` runs when the flight has arrived. */
function breakBehindLastFlight({ client, server, under }: Ends, serverSays: () => void): void {
  expect(client.handshake()).toBe(WANT_READ);
  expect(server.handshake()).toBe(WANT_READ);
  under.client.breaks = true;
  under.client.onWritten = serverSays;
}

describe('a TLS 1.3 handshake whose wire breaks with the last flight', () => {
  it('throws the alert of the peer', () =>
    withEnds(
      'TLSv1.3',
      (ends) => {
        breakBehindLastFlight(ends, () => outcome(() => ends.server.handshake()));
        expect(outcome(() => ends.client.handshake())).toEqual(refused);
        expect(ends.client.established).toBe(false);
        expect(outcome(() => readFrom(ends.client))).toEqual(refused);
      },
      { verify: ['peer', 'fail_if_no_peer_cert'], ca: { pem: localhost.certificate } },
    ));

  it('completes when data of the peer has arrived, and that data can still be read after a failed write', () =>
    withEnds('TLSv1.3', (ends) => {
      const { client, server, under } = ends;
      breakBehindLastFlight(ends, () => {
        expect(server.handshake()).toBe(DONE);
        expect(server.write(hello)).toBe(hello.length);
        under.client.onWritten = () => undefined;
      });
      expect(client.handshake()).toBe(DONE);
      expect(outcome(() => client.write(hello))).toEqual(broken);
      expect(readFrom(client)).toBe('hello');
      expect(readFrom(client)).toBe(WANT_READ);
    }));

  it.each([
    ['when the peer sends nothing', () => undefined],
    ['when the peer ends the connection', ({ under }: Ends) => (under.client.ended = true)],
  ])("fails with the wire's error %s", (_, serverDoes) =>
    withEnds('TLSv1.3', (ends) => {
      breakBehindLastFlight(ends, () => serverDoes(ends));
      for (let turn = 0; turn < 2; turn++) expect(outcome(() => ends.client.handshake())).toEqual(broken);
      expect(outcome(() => readFrom(ends.client))).toEqual(broken);
      expect(ends.client.established).toBe(false);
    }),
  );
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a connection of %s whose wire breaks when it sends', (version) => {
  it('throws the alert of the peer', () =>
    withEnds(version, ({ client, under, shake, alert }) => {
      shake();
      alert();
      under.client.breaks = true;
      expect(outcome(() => client.write(hello))).toEqual(alerted);
      expect(outcome(() => readFrom(client))).toEqual(alerted);
    }));

  it("throws the wire's error while data precedes the alert, and the alert once that data was read", () =>
    withEnds(version, ({ client, server, under, shake, alert }) => {
      shake();
      server.write(hello);
      alert();
      under.client.breaks = true;
      expect(outcome(() => client.write(hello))).toEqual(broken);
      expect(readFrom(client)).toBe('hello');
      expect(outcome(() => client.write(hello))).toEqual(alerted);
      expect(outcome(() => readFrom(client))).toEqual(alerted);
    }));

  it("throws the wire's error from writes and a TruncatedError from reads when no close_notify preceded the end", () =>
    withEnds(version, ({ client, under, shake }) => {
      shake();
      under.client.ended = under.client.breaks = true;
      for (let turn = 0; turn < 2; turn++) expect(outcome(() => client.write(hello))).toEqual(broken);
      expect(outcome(() => readFrom(client))).toMatchObject({ name: 'TruncatedError' });
    }));

  it("throws the wire's error from a write and the reset from a read when no data has arrived", () =>
    withEnds(version, ({ client, under, shake }) => {
      shake();
      under.client.inbox.push(new Error('reset'));
      under.client.breaks = true;
      expect(outcome(() => client.write(hello))).toEqual(broken);
      expect(client.failure).toBeUndefined();
      expect(outcome(() => readFrom(client))).toMatchObject({ message: 'reset' });
    }));

  it("throws the wire's error from a flush that lost bytes, and from the shutdown after it", () =>
    withEnds(version, ({ client, under, shake }) => {
      shake();
      under.client.takes = 10;
      expect(client.write(hello)).toBe(hello.length);
      expect(client.flush()).toBe(WANT_WRITE);
      expect(client.hasUnflushed).toBe(true);
      under.client.breaks = true;
      for (let turn = 0; turn < 3; turn++) expect(outcome(() => client.flush())).toEqual(broken);
      expect(outcome(() => client.shutdown())).toEqual(broken);
    }));

  it('finds an alert that arrives byte by byte', () =>
    withEnds(version, ({ client, under, shake, alert }) => {
      shake();
      alert();
      const bytes = under.client.inbox.splice(0).flatMap((piece) => [...(piece as Uint8Array)]);
      under.client.inbox.push(...bytes.map((byte) => Uint8Array.of(byte)));
      under.client.breaks = true;
      expect(outcome(() => client.write(hello))).toEqual(alerted);
    }));

  it('encrypts nothing more once the wire is broken', () =>
    withEnds(version, ({ client, under, shake }) => {
      shake();
      under.client.breaks = true;
      expect(outcome(() => client.write(hello))).toEqual(broken);
      const seal = vi.spyOn(openssl(), 'SSL_write');
      for (let turn = 0; turn < 10; turn++) expect(outcome(() => client.write(hello))).toEqual(broken);
      expect(seal).not.toHaveBeenCalled();
      seal.mockRestore();
    }));
});

describe('a handshake in the middle of a connection', () => {
  it('throws the alert of the peer when the wire breaks', () =>
    withEnds('TLSv1.2', ({ client, under, shake, alert }) => {
      shake();
      alert();
      under.client.breaks = true;
      client.rehandshake.renegotiate();
      expect(outcome(() => client.rehandshake.proceed(renegotiated))).toEqual(alerted);
    }));

  it('loses no data that arrived before the alert that ends it', () =>
    withEnds('TLSv1.2', ({ client, server, shake, alert }) => {
      shake();
      server.write(hello);
      alert();
      client.rehandshake.renegotiate();
      expect(outcome(() => client.rehandshake.proceed(renegotiated))).toEqual(alerted);
      expect(readFrom(client)).toBe('hello');
      expect(outcome(() => readFrom(client))).toEqual(alerted);
    }));
});
