/**
 * A multiplexed TLS proxy: TLS in front, any number of connections, one reactor.
 *
 *     npm start                                       (the same as npm run sample -- proxy)
 *     openssl s_client -connect 127.0.0.1:8443 -quiet
 *
 * You will see `listening 127.0.0.1:8443`, and each line that you type into s_client comes back from an echo server
 * behind the proxy. `npm start -- --help` explains how to put it in front of another server. Ctrl-C drains, a second
 * one aborts.
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, ClosedError, formatAddress, parseTarget, Reactor, SystemError, TruncatedError } from 'wantio';
import type { Address, Target } from 'wantio';
import { Relay } from 'wantio/protocols';
import { selfSigned, TlsContext } from 'wantio/tls';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:8443' },
    upstream: { type: 'string' },
    'upstream-tls': { type: 'boolean', default: false },
    certificate: { type: 'string' },
    key: { type: 'string' },
    plain: { type: 'boolean', default: false },
    'block-ms': { type: 'string', default: '60000' },
    'total-ms': { type: 'string', default: 'Infinity' },
    'max-connections': { type: 'string', default: '10000' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const USAGE = `Usage: npm start -- [options]
  --listen HOST:PORT      where to listen (127.0.0.1:8443; port 0: the system chooses)
  --upstream HOST:PORT    where to connect to (an echo server that the proxy starts)
  --upstream-tls          speak TLS to the upstream, and check its certificate
  --certificate F --key F certificate chain and key in PEM (made at the start)
  --plain                 no TLS in front
  --block-ms MS           longest silence of both sides, and longest single wait of a connect (60000)
  --total-ms MS           longest life of a proxied connection (no limit)
  --max-connections N     how many at a time; further ones wait (10000)
  --help                  this text`;

// The error codes of a client that has left.
const GONE = new Set(['ECONNRESET', 'EPIPE']);

if (values.help) console.log(USAGE);
else await run();

async function run(): Promise<void> {
  if ((values.certificate === undefined) !== (values.key === undefined))
    throw new RangeError('--certificate and --key go together');
  const idleMs = milliseconds('block-ms');
  const totalMs = milliseconds('total-ms');
  const maxConnections = Number(values['max-connections']);
  if (!Number.isInteger(maxConnections) || maxConnections < 1)
    throw new RangeError('--max-connections must be a whole number of at least 1');
  const listenTo = parseTarget(values.listen);
  const given = values.upstream === undefined ? undefined : parseTarget(values.upstream);

  const made = selfSigned();
  const front = values.plain
    ? undefined
    : await TlsContext.server({
        certificate: values.certificate === undefined ? { pem: made.certificate } : { file: values.certificate },
        key: values.key === undefined ? { pem: made.key } : { file: values.key },
      });
  const back = values['upstream-tls'] ? await TlsContext.client() : undefined;

  const reactor = new Reactor();
  const listener = await reactor.listen(listenTo);
  const upstream = given ?? (await echoUpstream(reactor));
  listener.on('clientError', (error, client) => {
    // Do not report clients that just leave, during the handshake or without close_notify.
    const isGone =
      error instanceof SystemError &&
      GONE.has(error.code) &&
      error.message.includes(formatAddress(client.remoteAddress));
    const isLeaving = error instanceof ClosedError && error.operation === 'handshake';
    // Only TLS reports a truncated end. Without TLS to the upstream, it was the client that left.
    const isCut = error instanceof TruncatedError && back === undefined;
    if (!isGone && !isLeaving && !isCut) console.error(`${formatAddress(client.remoteAddress)}: ${error.message}`);
  });
  listener.on('overload', (error, pauseMs) => {
    console.error(`${error.message}; accepting pauses for ${String(pauseMs)} ms`);
  });
  listener.serve(
    { ...(front === undefined ? {} : { secure: front }), maxConnections, timeouts: { totalMs: 10_000 } },
    async (client) => {
      const timeouts = { blockMs: idleMs, totalMs: 10_000 };
      const server =
        back === undefined
          ? await reactor.connect({ ...upstream, timeouts })
          : await reactor.connectSecure({ ...upstream, timeouts, secure: back });
      await new Relay(client, server, { idleMs, totalMs }).done;
    },
  );

  // Handle signals before anything is printed: a program that reads "listening" may send a signal at once.
  const closed = closeOnSignal(reactor, {
    onDrain: () => {
      console.log(`draining ${String(reactor.connections.size)} connections; Ctrl-C again to abort`);
    },
  });
  console.log(`listening ${formatAddress(listener.address)}`);
  console.log(`try: ${clientFor(listener.address)}`);
  await closed;
}

/** A command that connects to the proxy. */
function clientFor(address: Address): string {
  if (address.family === 'unix')
    return values.plain ? `nc -U ${address.path}` : `openssl s_client -unix ${address.path} -quiet`;
  return values.plain
    ? `nc ${address.host} ${String(address.port)}`
    : `openssl s_client -connect ${formatAddress(address)} -quiet`;
}

/** Starts the echo server that is the upstream if none is given. */
async function echoUpstream(reactor: Reactor): Promise<Target> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  listener.serve({}, async (connection) => {
    for await (const bytes of connection) await connection.send(bytes);
  });
  return listener.address;
}

function milliseconds(name: 'block-ms' | 'total-ms'): number {
  const value = Number(values[name]);
  if (Number.isNaN(value)) throw new RangeError(`--${name} must be a number of milliseconds, not ${values[name]}`);
  return value;
}
