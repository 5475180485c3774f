// Law: a public call refuses an option with an unknown name, a wrong type or a value out of range. It does so before
// any work begins. The error names the option, and shows no value of a secret option.

import { readFileSync, readdirSync } from 'node:fs';
import { PassThrough } from 'node:stream';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OPERATION_RULES } from '../core/operation.ts';
import type { Rule, Table } from '../core/options.ts';
import { LAYING_RULES } from '../core/transport-layer.ts';
import { REQUEST_RULES } from '../protocols/https/options.ts';
import { request } from '../protocols/https/request.ts';
import { Relay, RELAY_RULES } from '../protocols/relay.ts';
import { Certificate, LOAD_RULES, NAME_RULES, TEXT_RULES } from '../protocols/tls/certificates/certificate.ts';
import { checkPeer, EXPECTATION_RULES } from '../protocols/tls/certificates/check-peer.ts';
import { TlsContext } from '../protocols/tls/context/context.ts';
import { CLIENT_RULES, CONNECTION_RULES, IDENTITY_RULES, SERVER_RULES } from '../protocols/tls/context/option-rules.ts';
import { REQUEST_CERTIFICATE_RULES, UPDATE_KEYS_RULES } from '../protocols/tls/secure-connection.ts';
import type { SecureConnection } from '../protocols/tls/secure-connection.ts';
import { SELF_SIGNED_RULES, selfSigned } from '../protocols/tls/certificates/self-signed.ts';
import { CLIENT_SESSIONS_RULES, ClientSessions } from '../protocols/tls/sessions/client-sessions.ts';
import { FILE_STORE_RULES, FileSessionStore } from '../protocols/stores/files/file-store.ts';
import { LMDB_STORE_RULES, LmdbSessionStore } from '../protocols/stores/lmdb-store.ts';
import { MEMORY_STORE_RULES, MemorySessionStore } from '../protocols/stores/memory-store.ts';
import { REDIS_STORE_RULES, RedisSessionStore } from '../protocols/stores/redis-store.ts';
import { SERVER_STORE_RULES, SessionServerStore } from '../protocols/stores/session-server/session-server-store.ts';
import {
  SERVER_RULES as SESSION_SERVER_RULES,
  SessionServer,
} from '../protocols/stores/session-server/session-server.ts';
import { PRINT_RULES, TlsSession } from '../protocols/tls/sessions/session.ts';
import { TICKET_KEYS_RULES, TicketKeys } from '../protocols/tls/sessions/ticket-keys.ts';
import { livingTlsTransports } from '../protocols/tls/tls-transport.ts';
import { closeOnSignal, SIGNAL_RULES } from '../reactor/close-on-signal.ts';
import { CONNECT_RULES, CONNECT_SECURE_RULES } from '../reactor/connecting/connect-options.ts';
import {
  HANDSHAKE_RULES,
  LINES_RULES,
  RECEIVE_RULES,
  SEND_RULES,
  TRY_RECEIVE_RULES,
} from '../reactor/connections/connection-options.ts';
import { LENGTH_PREFIX_RULES, lengthPrefixed } from '../protocols/framing/length-prefixed.ts';
import { LINES_RULES as FRAMED_LINES_RULES, lines } from '../protocols/framing/lines.ts';
import { netstrings } from '../protocols/framing/netstrings.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { TO_DUPLEX_RULES, toDuplex } from '../reactor/streams/to-duplex.ts';
import { GROUND_RULES } from '../reactor/ground.ts';
import { LISTEN_RULES } from '../reactor/listening/listener.ts';
import type { Listener } from '../reactor/listening/listener.ts';
import { CLOSE_RULES } from '../reactor/connections/progress-watch.ts';
import { CLOSE_RULES as REACTOR_CLOSE_RULES, Reactor } from '../reactor/reactor.ts';
import { SELECT_RULES, SELECTION_RULES } from '../reactor/select.ts';
import type { Selection } from '../reactor/select.ts';
import { SERVE_RULES } from '../reactor/listening/serve.ts';
import type { Handler, ServeOptions } from '../reactor/listening/serve.ts';
import { Link, LINK_RULES } from '../reactor/simulated/link.ts';
import { HOST_RULES } from '../reactor/simulated/simulated-host.ts';
import { NAME_RULES as LOOK_UP_RULES } from '../reactor/simulated/simulated-network.ts';
import { World, WORLD_RULES } from '../reactor/simulated/world.ts';
import { FROM_DUPLEX_RULES, fromDuplex } from '../reactor/streams/from-duplex.ts';
import { TO_WEB_STREAMS_RULES, toWebStreams } from '../reactor/streams/web-streams.ts';
import { checkLaw } from './kit/law.ts';
import { pairIn } from './kit/scenarios.ts';
import { checkFraming, FRAMING_CHECK_RULES } from './kit/check-framing.ts';
import { PLAN_RULES, simulate } from './kit/simulate.ts';
import { LEAK_RULES, withoutLeaks } from './kit/without-leaks.ts';

const { certificate, key } = selfSigned();
const client = await TlsContext.client({ ca: { pem: certificate } });
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });

interface Scene {
  readonly world: World;
  readonly reactor: Reactor;
  readonly connection: Connection;
  readonly secured: SecureConnection;
  readonly listener: Listener;
}

interface Call {
  readonly rules: Table;
  /** Makes the call with the options that it needs, overridden by `options`. */
  readonly make: (scene: Scene, options: Record<string, unknown>) => unknown;
}

const as = <T>(options: unknown): T => options as T;
const nothing = (): void => undefined;
const ground = {
  clock: { now: () => 0 },
  selector: { register: nothing, poll: nothing },
  calls: { recv: nothing, send: nothing },
  lookUp: nothing,
  defer: nothing,
  wakeAt: nothing,
};
const certified = Certificate.load(certificate);

/** Every public call that takes options, under the name in its error messages, with the rules of its options. */
const CALLS: Record<string, Call | readonly Call[]> = {
  'new Reactor': { rules: GROUND_RULES, make: (_, options) => new Reactor(as({ ...ground, ...options })) },
  connect: {
    rules: CONNECT_RULES,
    make: ({ reactor }, options) => reactor.connect(as({ host: 'there', port: 7, ...options })),
  },
  connectSecure: {
    rules: CONNECT_SECURE_RULES,
    make: ({ reactor }, options) => reactor.connectSecure(as({ host: 'there', port: 7, secure: client, ...options })),
  },
  listen: {
    rules: LISTEN_RULES,
    make: ({ reactor }, options) => reactor.listen(as({ host: '0.0.0.0', port: 9, ...options })),
  },
  accept: { rules: OPERATION_RULES, make: ({ listener }, options) => listener.accept(as(options)) },
  serve: { rules: SERVE_RULES, make: ({ listener }, options) => listener.serve(as<ServeOptions>(options), nothing) },
  select: [
    {
      rules: SELECT_RULES,
      make: ({ reactor, connection }, options) => reactor.select({ read: [connection] }, 1, as(options)),
    },
    { rules: SELECTION_RULES, make: ({ reactor }, options) => reactor.select(as<Selection<never, never>>(options), 1) },
  ],
  sleep: { rules: SELECT_RULES, make: ({ reactor }, options) => reactor.sleep(1, as(options)) },
  close: [
    { rules: REACTOR_CLOSE_RULES, make: ({ reactor }, options) => reactor.close(as(options)) },
    { rules: CLOSE_RULES, make: ({ connection }, options) => connection.close(as(options)) },
    { rules: CLOSE_RULES, make: ({ connection }, options) => connection.breakOff(as(options)) },
  ],
  closeOnSignal: { rules: SIGNAL_RULES, make: ({ reactor }, options) => closeOnSignal(reactor, as(options)) },
  send: { rules: SEND_RULES, make: ({ connection }, options) => connection.send('data', as(options)) },
  receive: { rules: RECEIVE_RULES, make: ({ connection }, options) => connection.receive('*l', as(options)) },
  receiveInto: {
    rules: OPERATION_RULES,
    make: ({ connection }, options) => connection.receiveInto(new Uint8Array(1), as(options)),
  },
  receiveUntil: {
    rules: RECEIVE_RULES,
    make: ({ connection }, options) => connection.receiveUntil('\n', as(options)),
  },
  skip: {
    rules: OPERATION_RULES,
    make: ({ connection }, options) => connection.skip(1, as(options)),
  },
  byteLines: {
    rules: LINES_RULES,
    make: ({ connection }, options) => connection.byteLines(as(options))[Symbol.asyncIterator]().next(),
  },
  lines: [
    {
      rules: LINES_RULES,
      make: ({ connection }, options) => connection.lines(as(options))[Symbol.asyncIterator]().next(),
    },
    { rules: FRAMED_LINES_RULES, make: (_, options) => lines(as(options)) },
  ],
  messages: {
    rules: LINES_RULES,
    make: ({ connection }, options) => connection.messages(netstrings(), as(options)).next(),
  },
  sendMessage: {
    rules: OPERATION_RULES,
    make: ({ connection }, options) => connection.sendMessage(netstrings(), 'data', as(options)),
  },
  tryReceive: {
    rules: TRY_RECEIVE_RULES,
    make: ({ connection }, options) => connection.tryReceive(netstrings(), as(options)),
  },
  lengthPrefixed: {
    rules: LENGTH_PREFIX_RULES,
    make: (_, options) => lengthPrefixed(as({ bytes: 4, ...options })),
  },
  checkFraming: {
    rules: FRAMING_CHECK_RULES,
    make: (_, options) => checkFraming(netstrings(), fc.string(), as(options)),
  },
  handshake: { rules: HANDSHAKE_RULES, make: ({ connection }, options) => connection.handshake(as(options)) },
  shutdown: { rules: OPERATION_RULES, make: ({ connection }, options) => connection.shutdown('send', as(options)) },
  secure: { rules: LAYING_RULES, make: ({ connection }, options) => connection.secure(client, as(options)) },
  toDuplex: { rules: TO_DUPLEX_RULES, make: ({ connection }, options) => toDuplex(connection, as(options)) },
  fromDuplex: {
    rules: FROM_DUPLEX_RULES,
    make: ({ reactor }, options) => fromDuplex(reactor, new PassThrough(), as(options)),
  },
  toWebStreams: {
    rules: TO_WEB_STREAMS_RULES,
    make: ({ connection }, options) => toWebStreams(connection, as(options)),
  },
  'new Relay': {
    rules: RELAY_RULES,
    make: ({ connection }, options) => new Relay(connection, connection, as(options)),
  },
  'https.request': {
    rules: REQUEST_RULES,
    make: ({ reactor }, options) => request(reactor, as({ url: 'https://there/', ...options })),
  },
  'TlsContext.client': { rules: CLIENT_RULES, make: (_, options) => TlsContext.client(as(options)) },
  'TlsContext.server': {
    rules: SERVER_RULES,
    make: (_, options) => TlsContext.server(as({ certificate: { pem: certificate }, key: { pem: key }, ...options })),
  },
  'context.with': { rules: CONNECTION_RULES, make: (_, options) => client.with(as(options)) },
  replaceCertificate: {
    rules: IDENTITY_RULES,
    make: (_, options) =>
      server.replaceCertificate(as({ certificate: { pem: certificate }, key: { pem: key }, ...options })),
  },
  renegotiate: { rules: OPERATION_RULES, make: ({ secured }, options) => secured.renegotiate(as(options)) },
  updateKeys: { rules: UPDATE_KEYS_RULES, make: ({ secured }, options) => secured.updateKeys(as(options)) },
  requestClientCertificate: {
    rules: REQUEST_CERTIFICATE_RULES,
    make: ({ secured }, options) => secured.requestClientCertificate(as(options)),
  },
  checkPeer: { rules: EXPECTATION_RULES, make: (_, options) => checkPeer(certified, as(options)) },
  checkHost: { rules: NAME_RULES, make: (_, options) => certified.checkHost('localhost', as(options)) },
  checkEmail: { rules: NAME_RULES, make: (_, options) => certified.checkEmail('a@a.test', as(options)) },
  subject: { rules: TEXT_RULES, make: (_, options) => certified.subject(as(options)) },
  issuer: { rules: TEXT_RULES, make: (_, options) => certified.issuer(as(options)) },
  extensions: { rules: TEXT_RULES, make: (_, options) => certified.extensions(as(options)) },
  'Certificate.load': { rules: LOAD_RULES, make: (_, options) => Certificate.load(certificate, as(options)) },
  selfSigned: { rules: SELF_SIGNED_RULES, make: (_, options) => selfSigned(as(options)) },
  // It checks its options before it uses its session, so it needs none here.
  print: { rules: PRINT_RULES, make: (_, options) => TlsSession.prototype.print(as(options)) },
  'new ClientSessions': { rules: CLIENT_SESSIONS_RULES, make: (_, options) => new ClientSessions(as(options)) },
  'new TicketKeys': { rules: TICKET_KEYS_RULES, make: (_, options) => new TicketKeys(as(options)) },
  'new MemorySessionStore': { rules: MEMORY_STORE_RULES, make: (_, options) => new MemorySessionStore(as(options)) },
  'new FileSessionStore': {
    rules: FILE_STORE_RULES,
    make: (_, options) => new FileSessionStore(as({ directory: '/nowhere', ...options })),
  },
  'new LmdbSessionStore': {
    rules: LMDB_STORE_RULES,
    make: (_, options) => new LmdbSessionStore(as({ path: '/nowhere', ...options })),
  },
  'new RedisSessionStore': {
    rules: REDIS_STORE_RULES,
    make: (_, options) => new RedisSessionStore(as({ url: 'redis://there', ...options })),
  },
  'new SessionServerStore': {
    rules: SERVER_STORE_RULES,
    make: ({ reactor }, options) => new SessionServerStore(reactor, as({ path: '/nowhere', ...options })),
  },
  'SessionServer.listen': {
    rules: SESSION_SERVER_RULES,
    make: ({ reactor }, options) => SessionServer.listen(reactor, as({ path: '/nowhere', ...options })),
  },
  'new Link': { rules: LINK_RULES, make: (_, options) => new Link(as(options)) },
  'new World': { rules: WORLD_RULES, make: (_, options) => new World(as(options)) },
  addHost: { rules: HOST_RULES, make: ({ world }, options) => world.machine('new', as(options)) },
  name: {
    rules: LOOK_UP_RULES,
    make: ({ world }, options) => {
      world.network.name('new.test', ['10.0.0.9'], as(options));
    },
  },
  simulate: { rules: PLAN_RULES, make: (_, options) => simulate(as(options), () => Promise.resolve()) },
  withoutLeaks: { rules: LEAK_RULES, make: (_, options) => withoutLeaks(() => Promise.resolve(), as(options)) },
};

const SECRET = 'hunter2-hunter2-hunter2';
const odd = fc.constantFrom<unknown>(
  SECRET,
  '',
  0,
  -1.5,
  NaN,
  Infinity,
  null,
  true,
  [],
  [1],
  {},
  { [SECRET]: 1 },
  Symbol('odd'),
  7n,
  nothing,
  new AbortController(),
  Promise.resolve(1),
  new Uint8Array(3),
);

/**
 * Values that a rule refuses: odd values outside its type or range; `undefined` if the option decides about trust; and
 * objects or lists with such a value inside.
 */
function wrong(rule: Rule): fc.Arbitrary<unknown> {
  const values = odd.filter((value) => rule.judge(value) !== true);
  const within = Object.entries(rule.within ?? {}).map(([name, inner]) =>
    wrong(inner).map((value) => ({ [name]: value })),
  );
  const members =
    rule.each === undefined
      ? []
      : [
          wrong(rule.each)
            .filter((value) => value !== undefined)
            .map((value) => [value]),
        ];
  return fc.oneof(
    { weight: 4, arbitrary: values },
    ...(rule.decidesTrust === true ? [fc.constant(undefined)] : []),
    ...within,
    ...members,
  );
}

async function refused({ make, rules }: Call, option: string, value: unknown): Promise<void> {
  await simulate({}, async (world) => {
    const { here, client: connection } = await pairIn(world);
    const { reactor } = here;
    const listener = await reactor.listen({ host: '0.0.0.0', port: 1 });
    const secured = (await reactor.connect({ host: 'there', port: 7 })).secure(client, { serverName: 'localhost' });
    const standing = (): unknown[] => [
      reactor.connections.size,
      reactor.openListeners.size,
      reactor.operations().length,
      reactor.loop.deadlines.size,
      here.host.openDescriptors,
      livingTlsTransports(),
      world.machines.length,
      process.listenerCount('SIGTERM'),
      connection.listenerCount('close'),
    ];
    const before = standing();
    const outcome: unknown = await (async () =>
      make({ world, reactor, connection, secured, listener }, { [option]: value }))().then(
      () => 'taken',
      (error: unknown) => error,
    );
    expect(outcome, `{ ${option} }`).toBeInstanceOf(Error);
    expect(['TypeError', 'RangeError']).toContain((outcome as Error).name);
    expect((outcome as Error).message).toContain(option);
    if (rules[option]?.isSecret === true) expect((outcome as Error).message).not.toContain(SECRET);
    expect(standing()).toEqual(before);
    expect(reactor.draining.aborted).toBe(false);
  });
}

describe.each(Object.entries(CALLS).flatMap(([name, calls]) => [calls].flat().map((call) => [name, call] as const)))(
  '%s',
  (_, call) => {
    it('refuses unknown names and wrong values of every option before any work begins', async () => {
      const wrongs = Object.entries(call.rules).map(([option, rule]) =>
        wrong(rule).map((value) => [option, value] as const),
      );
      const unknown = fc
        .string({ minLength: 1, unit: fc.constantFrom('a', 'S', 'x', '_') })
        .filter((option) => !(option in call.rules));
      // This tries each option about six times.
      await checkLaw(
        fc.asyncProperty(fc.oneof(fc.tuple(unknown, odd), ...wrongs), ([option, value]) =>
          refused(call, option, value),
        ),
        6 * (wrongs.length + 1),
      );
    });
  },
);

it('the table of this test contains every call that checks its options', () => {
  const sources = ['core', 'reactor', 'protocols', 'property-tests']
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  const calls = new Set(
    sources.flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/(?:checkOptions|encodingIn)\('([^']+)'/g)].map(([, call]) => call),
    ),
  );
  expect([...calls].filter((call) => !(call in CALLS))).toEqual([]);
  expect(calls.size).toBeGreaterThan(40);
});

describe('serve', () => {
  it('refuses a handler that is no function', () =>
    simulate({}, async (world) => {
      const { reactor } = world.machine('here');
      const listener = await reactor.listen({ host: '0.0.0.0', port: 1 });
      for (const [given, handler] of [[nothing], [{}], [{}, {}], [undefined, nothing], [{ secured: server }, nothing]])
        expect(() => listener.serve(as<ServeOptions>(given), as<Handler>(handler))).toThrow(TypeError);
      listener.serve({ secure: server, maxConnections: 1 }, nothing);
      listener.close();
    }).then(nothing));
});

describe('an argument that is not an option', () => {
  it('is refused as well if it has a wrong type or value', () =>
    simulate({}, async (world) => {
      const { here, client: connection } = await pairIn(world);
      for (const slip of [
        () => here.reactor.connectSecure(as({ host: 'there', port: 7 })),
        () => connection.send(as(42)),
        () => connection.send(as(['a', 1])),
        () => connection.tryReceive(-1),
        () => connection.tryReceive(NaN),
        () => connection.tryReceive(1.5),
        () => connection.tryReceive(Infinity),
        () => connection.trySend(as('text')),
        () => connection.unread(as('text')),
        () => connection.receive(as('*x')),
        () => connection.receive(as(null)),
        () => connection.trySend(as(null)),
        () => world.sleep(NaN),
        () => {
          world.link(here, here).latencyMs = NaN;
        },
        () => connection.setTimeout(70, as('totl')),
        () => connection.setTimeout(as('70')),
        () => connection.shutdown(as('sending')),
        () => here.reactor.select({}, NaN),
      ])
        expect(slip).toThrow(/TypeError|RangeError|takes|needs/);
      await expect(here.reactor.listen(as(8080))).rejects.toThrow('listen takes its options as an object, not 8080');
      expect(() => {
        connection.timeouts = as({ totalMs: '1000' });
      }).toThrow('timeouts.totalMs takes a number of milliseconds (negative or Infinity: no limit), not "1000"');
      // A limit of `undefined` keeps the limit of the connection.
      connection.timeouts = { blockMs: 5 };
      await expect(connection.receive('*l', { timeouts: { blockMs: undefined } })).rejects.toThrow('block 5 ms');
      expect([here.reactor.operations().length, here.reactor.loop.deadlines.size]).toEqual([0, 0]);
    }).then(() => undefined));
});
