// Law: an option of a public call that has an unknown name, a wrong type or is out of range is refused with its name, before anything begins; nothing secret is shown.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Rule } from '../core/options.ts';
import { Relay, RELAY_RULES } from '../protocols/relay.ts';
import { TlsContext } from '../protocols/tls/context.ts';
import { CLIENT_RULES, CONNECTION_RULES, SERVER_RULES } from '../protocols/tls/option-rules.ts';
import { selfSigned } from '../protocols/tls/self-signed.ts';
import { livingTlsTransports } from '../protocols/tls/tls-transport.ts';
import { CONNECT_RULES, CONNECT_SECURE_RULES } from '../reactor/connect.ts';
import type { Connection } from '../reactor/connection.ts';
import { LISTEN_RULES } from '../reactor/listener.ts';
import { CLOSE_RULES } from '../reactor/progress-watch.ts';
import type { Reactor } from '../reactor/reactor.ts';
import { TO_DUPLEX_RULES, toDuplex } from '../reactor/connection-stream.ts';
import { SERVE_RULES } from '../reactor/serve.ts';
import type { Handler, ServeOptions } from '../reactor/serve.ts';
import { checkLaw } from './kit/law.ts';
import { pairIn } from './kit/scenarios.ts';
import { simulate } from './kit/simulate.ts';

const { certificate, key } = selfSigned();
const client = await TlsContext.client({ ca: { pem: certificate } });
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });

interface Scene {
  readonly reactor: Reactor;
  readonly connection: Connection;
}

interface Call {
  readonly rules: Readonly<Record<string, Rule>>;
  /** Makes the call with `options` over those that it needs. */
  readonly make: (scene: Scene, options: Record<string, unknown>) => unknown;
}

const OPERATION = { signal: CONNECT_RULES.signal, timeouts: CONNECT_RULES.timeouts };
const as = <T>(options: unknown): T => options as T;

/** Every public call that takes options, with the table that its type demands. */
const CALLS: Record<string, Call> = {
  connect: { rules: CONNECT_RULES, make: ({ reactor }, options) => reactor.connect(as({ host: 'there', port: 7, ...options })) },
  connectSecure: { rules: CONNECT_SECURE_RULES, make: ({ reactor }, options) => reactor.connectSecure(as({ host: 'there', port: 7, secure: client, ...options })) },
  listen: { rules: LISTEN_RULES, make: ({ reactor }, options) => reactor.listen(as({ host: '0.0.0.0', port: 9, ...options })) },
  close: { rules: { timeoutMs: CLOSE_RULES.timeoutMs }, make: ({ reactor }, options) => reactor.close(as(options)) },
  select: { rules: { signal: OPERATION.signal }, make: ({ reactor, connection }, options) => reactor.select({ read: [connection] }, 1, as(options)) },
  send: { rules: OPERATION, make: ({ connection }, options) => connection.send('data', as(options)) },
  receive: { rules: OPERATION, make: ({ connection }, options) => connection.receive('*l', as(options)) },
  receiveInto: { rules: OPERATION, make: ({ connection }, options) => connection.receiveInto(new Uint8Array(1), as(options)) },
  handshake: { rules: OPERATION, make: ({ connection }, options) => connection.handshake(as(options)) },
  shutdown: { rules: OPERATION, make: ({ connection }, options) => connection.shutdown('send', as(options)) },
  'connection.close': { rules: CLOSE_RULES, make: ({ connection }, options) => connection.close(as(options)) },
  breakOff: { rules: CLOSE_RULES, make: ({ connection }, options) => connection.breakOff(as(options)) },
  toDuplex: { rules: TO_DUPLEX_RULES, make: ({ connection }, options) => toDuplex(connection, as(options)) },
  Relay: { rules: RELAY_RULES, make: ({ connection }, options) => new Relay(connection, connection, as(options)) },
  'TlsContext.client': { rules: CLIENT_RULES, make: (_, options) => TlsContext.client(as(options)) },
  'TlsContext.server': { rules: SERVER_RULES, make: (_, options) => TlsContext.server(as({ certificate: { pem: certificate }, key: { pem: key }, ...options })) },
  'context.with': { rules: CONNECTION_RULES, make: (_, options) => client.with(as(options)) },
};

const SECRET = 'hunter2-hunter2-hunter2';
const odd = fc.constantFrom<unknown>(SECRET, '', 0, -1.5, NaN, Infinity, null, true, [], [1], {}, { [SECRET]: 1 }, Symbol('odd'), 7n, () => 1, new AbortController(), Promise.resolve(1), new Uint8Array(3));

/** What a rule refuses: drawn values that it does not take, and one that is not there where it decides about trust. */
const wrong = (rule: Rule): fc.Arbitrary<unknown> => {
  const values = odd.filter((value) => {
    try {
      return rule.judge(value) !== true;
    } catch {
      return true;
    }
  });
  return rule.decidesTrust === true ? fc.oneof({ weight: 4, arbitrary: values }, { weight: 1, arbitrary: fc.constant(undefined) }) : values;
};

async function refused(name: string, option: string, value: unknown): Promise<void> {
  await simulate({}, async (world) => {
    const { here, client: connection } = await pairIn(world);
    const { reactor } = here;
    const before = [reactor.connections.size, reactor.openListeners.size, reactor.operations().length, reactor.deadlines.size, here.host.openDescriptors, livingTlsTransports()];
    const outcome: unknown = await (async () => CALLS[name].make({ reactor, connection }, { [option]: value }))().then(() => 'taken', (error: unknown) => error);
    expect(outcome, `${name} { ${option} }`).toBeInstanceOf(Error);
    expect(['TypeError', 'RangeError']).toContain((outcome as Error).name);
    expect((outcome as Error).message).toContain(option);
    if (CALLS[name].rules[option]?.isSecret === true) expect((outcome as Error).message).not.toContain(SECRET);
    expect([reactor.connections.size, reactor.openListeners.size, reactor.operations().length, reactor.deadlines.size, here.host.openDescriptors, livingTlsTransports()]).toEqual(before);
    expect(reactor.draining.aborted).toBe(false);
  });
}

describe.each(Object.keys(CALLS))('%s', (name) => {
  const { rules } = CALLS[name];

  it('refuses unknown names and wrong values of every option before anything begins', async () => {
    for (const option of Object.keys(rules)) await checkLaw(fc.asyncProperty(wrong(rules[option]), (value) => refused(name, option, value)), 12);
    await checkLaw(fc.asyncProperty(fc.string({ minLength: 1, unit: fc.constantFrom('a', 'S', 'x', '_') }).filter((option) => !(option in rules)), odd, (option, value) => refused(name, option, value)), 12);
  });
});

describe('serve', () => {
  it('refuses unknown names, wrong values, and a handler that is none', () => simulate({}, async (world) => {
    const { reactor } = world.machine('here');
    const listener = await reactor.listen({ host: '0.0.0.0', port: 1 });
    for (const option of Object.keys(SERVE_RULES) as (keyof typeof SERVE_RULES)[]) {
      await checkLaw(fc.property(wrong(SERVE_RULES[option]), (value) => {
        expect(() => listener.serve(as<ServeOptions>({ [option]: value }), () => undefined)).toThrow(new RegExp(option));
      }), 12);
    }
    for (const [given, handler] of [[() => undefined], [{}], [{}, {}], [undefined, () => undefined], [{ secured: server }, () => undefined]]) expect(() => listener.serve(as<ServeOptions>(given), as<Handler>(handler))).toThrow(TypeError);
    listener.serve({ secure: server, maxConnections: 1 }, () => undefined);
    listener.close();
  }).then(() => undefined));
});

describe('what is no option', () => {
  it('is refused as well', () => simulate({}, async (world) => {
    const { here, client: connection } = await pairIn(world);
    for (const slip of [
      () => here.reactor.connectSecure(as({ host: 'there', port: 7 })),
      () => connection.send(as(42)),
      () => connection.send(as(['a', 1])),
      () => connection.tryReceive(-1),
      () => connection.tryReceive(NaN),
      () => connection.trySend(as('text')),
      () => connection.unread(as('text')),
      () => connection.receive(as('*x')),
      () => connection.setTimeout(70, as('totl')),
      () => connection.setTimeout(as('70')),
      () => connection.shutdown(as('sending')),
      () => here.reactor.select({}, NaN),
    ]) expect(slip).toThrow(/TypeError|RangeError|takes|needs/);
    await expect(here.reactor.listen(as(8080))).rejects.toThrow('listen takes its options as an object, not 8080');
    expect(() => { connection.timeouts = as({ totalMs: '1000' }); }).toThrow('timeouts.totalMs takes a number of milliseconds (negative or Infinity: no limit), not "1000"');
    // A limit that is not given keeps the connection's own.
    connection.timeouts = { blockMs: 5 };
    await expect(connection.receive('*l', { timeouts: { blockMs: undefined } })).rejects.toThrow('block 5 ms');
    expect([here.reactor.operations().length, here.reactor.deadlines.size]).toEqual([0, 0]);
  }).then(() => undefined));
});
