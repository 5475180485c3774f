/**
 * A connection whose context was chosen looks in every visible way as if it had started with that context. Nothing of
 * the original context remains.
 */

import { describe, expect, it } from 'vitest';

import type { TlsContext } from './context/context.ts';
import type { TlsServerOptions } from './context/options.ts';
import { SERVER_RULES } from './context/option-rules.ts';
import { ClientSessions } from './sessions/client-sessions.ts';
import { MemorySessionStore } from '../stores/memory-store.ts';
import { Authority } from '../testing/tls/authority.ts';
import { abort, securePair } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';

const NAME = 'a.test';
const authority = new Authority();
const others = new Authority();
const ca = { pem: authority.pem };
const identity = ({ certificate, key }: ReturnType<Authority['issue']>) => ({
  certificate: { pem: certificate },
  key: { pem: key },
});
const [own, front] = [authority.issue({ names: [NAME] }), authority.issue({ names: [NAME] })];
const person = authority.issue({ names: ['somebody'], purpose: 'client' });
const staple = new Uint8Array([1, 2, 3]);
const PSK_KEY = new Uint8Array(32).fill(7);

type Variant = Partial<TlsServerOptions>;

/**
 * For each option, two values with different visible effects on a connection. The test below lists the options whose
 * effects are not visible here.
 */
const VARIANTS: { readonly [K in keyof typeof SERVER_RULES]?: readonly [Variant, Variant] } = {
  certificate: [{}, {}],
  ca: [
    { verify: ['peer', 'fail_if_no_peer_cert'], ca },
    { verify: ['peer', 'fail_if_no_peer_cert'], ca: { pem: others.pem } },
  ],
  crls: [
    { verify: 'peer', ca, crls: { pem: authority.crl([person.serial]) } },
    { verify: 'peer', ca, crls: { pem: authority.crl() } },
  ],
  verify: [{ verify: 'peer', ca }, { verify: 'none' }],
  dangerouslyAccept: [
    { verify: 'peer', ca: { pem: others.pem }, dangerouslyAccept: 'all' },
    { verify: 'peer', ca: { pem: others.pem } },
  ],
  dangerouslyIgnorePurpose: [
    { verify: 'peer', ca, dangerouslyIgnorePurpose: true },
    { verify: 'peer', ca },
  ],
  expect: [
    { verify: 'peer', ca, expect: { name: 'somebody' } },
    { verify: 'peer', ca, expect: { name: 'nobody' } },
  ],
  depth: [
    { verify: 'peer', ca, depth: 0 },
    { verify: 'peer', ca, depth: 3 },
  ],
  protocols: [{ protocols: { max: 'TLSv1.2' } }, { protocols: { min: 'TLSv1.3' } }],
  options: [{ options: ['no_ticket'], resumption: 'stateless' }, { resumption: 'stateless' }],
  ciphers: [
    { protocols: { max: 'TLSv1.2' }, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
    { protocols: { max: 'TLSv1.2' }, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  ],
  ciphersuites: [{ ciphersuites: 'TLS_AES_128_GCM_SHA256' }, { ciphersuites: 'TLS_CHACHA20_POLY1305_SHA256' }],
  groups: [{ groups: 'P-384' }, { groups: 'P-256' }],
  signatureAlgorithms: [{ signatureAlgorithms: 'RSA-PSS+SHA256' }, { signatureAlgorithms: 'ECDSA+SHA256' }],
  alpn: [{ alpn: ['one'] }, { alpn: ['two'] }],
  dangerouslyIgnoreAlpnMismatch: [
    { alpn: ['none of these'], dangerouslyIgnoreAlpnMismatch: true },
    { alpn: ['none of these'] },
  ],
  ocspStaple: [{ ocspStaple: staple }, {}],
  // The digest of the key is SHA-256, and the digest of the cipher must be the same.
  psk: [
    { ciphersuites: 'TLS_AES_128_GCM_SHA256', psk: (name) => (name === 'somebody' ? PSK_KEY : undefined) },
    { ciphersuites: 'TLS_AES_128_GCM_SHA256', psk: () => undefined },
  ],
  allowPeerRenegotiations: [
    { protocols: { max: 'TLSv1.2' }, allowPeerRenegotiations: 1 },
    { protocols: { max: 'TLSv1.2' } },
  ],
  resumption: [{ resumption: 'stateful' }, { resumption: 'off' }],
  sessionStore: [{ resumption: 'stateful', sessionStore: new MemorySessionStore() }, { resumption: 'stateful' }],
  sessionTimeoutSeconds: [
    { resumption: 'stateless', sessionTimeoutSeconds: 100 },
    { resumption: 'stateless', sessionTimeoutSeconds: 200 },
  ],
  tickets: [
    { resumption: 'stateless', tickets: 0 },
    { resumption: 'stateless', tickets: 3 },
  ],
};

/** Options that do not affect the handshake of a connection, or that another option above covers. */
const UNSEEN = new Set([
  'key',
  'password',
  'identities',
  'crlCheck',
  'dangerouslyEnable',
  'dhParameters',
  'dangerouslyLowerSecurityLevel',
  'minimumSecurityLevel',
  'sessionScope',
  'sessionCache',
  'dangerouslyLogKeys',
  'serverNames',
  'strictServerNames',
  'chooseContext',
  'pskHint',
  'sessionStoreKey',
  'sessionLookupMs',
  'ticketKeys',
]);

/** The ways to choose a context: by its server name, by a callback, by an asynchronous callback. */
const WAYS: Record<string, (chosen: TlsContext) => Variant> = {
  'by name': (chosen) => ({ serverNames: { [NAME]: chosen } }),
  'by a callback': (chosen) => ({ chooseContext: () => chosen }),
  'by an asynchronous callback': (chosen) => ({
    chooseContext: async () => {
      await Promise.resolve();
      return chosen;
    },
  }),
};

/** Connects twice with the same client. @returns what each side saw. */
async function visits(secure: SecureReactor, server: TlsContext, offersPsk: boolean): Promise<unknown[]> {
  const sessions = new ClientSessions();
  const client = await secure.client({
    ca,
    ...identity(person),
    sessions,
    alpn: ['one', 'two'],
    requestOcspStaple: true,
    groups: 'X25519:P-256:P-384',
    ...(offersPsk ? { psk: { identity: 'somebody', key: PSK_KEY } } : {}),
  });
  const seen: unknown[] = [];
  for (let visit = 0; visit < 2; visit++) {
    const [near, far] = await securePair(secure, {
      client: client.with({ peer: 'one place' }),
      server,
      serverName: NAME,
    });
    let tickets = 0;
    near.session$.subscribe(() => tickets++);
    const outcomes = await Promise.allSettled([near.handshake(), far.handshake()]);
    seen.push(
      outcomes.map((outcome) =>
        outcome.status === 'rejected'
          ? `${(outcome.reason as Error).name}: ${(outcome.reason as Error).message}`
          : 'done',
      ),
    );
    if (outcomes.every(({ status }) => status === 'fulfilled')) {
      // Under TLS 1.3 the client learns only with the first data that the server refused it.
      const lines = await Promise.allSettled([near.receive(), far.receive(), near.send('hello\n'), far.send('hi\n')]);
      seen.push(lines.map((line) => (line.status === 'rejected' ? (line.reason as Error).message : line.value)));
      if (!near.closed && !far.closed) seen.push(await look(near, far), tickets);
    }
    abort(near, far);
  }
  return seen;
}

async function look(near: Awaited<ReturnType<typeof securePair>>[0], far: typeof near): Promise<unknown> {
  const { protocol, cipher, alpn, group } = near.info() as unknown as Record<string, unknown>;
  const shown = {
    protocol,
    cipher,
    alpn,
    group,
    resumption: [near.resumption, far.resumption],
    staple: near.ocspStaple(),
    shownBy: near.peerCertificate()?.digest(),
    client: far.peerCertificate()?.digest(),
    verified: far.verification(),
    lifetime: near.session === undefined ? 0 : near.session.expiresAt.getTime() - near.session.time.getTime(),
  };
  if (protocol !== 'TLSv1.2') return shown;
  const receiving = [near, far].map((each) => each.receive('*a').catch((error: unknown) => (error as Error).message));
  const renewed = await near.renegotiate({ timeouts: { totalMs: 2_000 } }).then(
    () => 'renewed',
    (error: unknown) => (error as Error).message,
  );
  abort(near, far);
  await Promise.all(receiving);
  return { ...shown, renewed };
}

describe.each(Object.entries(VARIANTS))('the option %s of a chosen context', (option, [value, other]) => {
  it.each(Object.keys(WAYS))('applies, and that of the original context does not: %s', (way) =>
    withSecureReactor(async (secure) => {
      const seen: unknown[][] = [];
      for (const [chosen, before] of [
        [value, other],
        [other, value],
      ] as const) {
        const direct = await secure.server({ ...identity(own), ...chosen });
        seen.push(await visits(secure, direct, option === 'psk'));
        const aside = await secure.server({ ...identity(own), ...chosen });
        const switched = await secure.server({ ...identity(front), ...before, ...WAYS[way](aside) });
        expect(await visits(secure, switched, option === 'psk')).toEqual(seen.at(-1));
      }
      // If both values looked the same, the comparison would prove nothing.
      if (!['certificate', 'sessionStore', 'depth', 'dangerouslyIgnorePurpose'].includes(option))
        expect(seen[0]).not.toEqual(seen[1]);
    }),
  );
});

it('the table covers every server option', () => {
  expect(Object.keys(SERVER_RULES).filter((option) => !(option in VARIANTS) && !UNSEEN.has(option))).toEqual([]);
});
