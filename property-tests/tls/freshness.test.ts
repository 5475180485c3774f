// Law: every value that must be fresh differs each time: the nonces of seals, the ids of sessions, the names, keys and
// initial vectors of tickets, and the keys and serial numbers of self-signed certificates.

import { describe, expect, it } from 'vitest';

import { Certificate } from '../../protocols/tls/certificates/certificate.ts';
import { TlsContext } from '../../protocols/tls/context/context.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import { Sealer } from '../../protocols/tls/sessions/sealer.ts';
import { MapStore } from '../../protocols/testing/stores/map-store.ts';
import { TicketKeys } from '../../protocols/tls/sessions/ticket-keys.ts';
import { Vault } from '../../protocols/tls/sessions/vault.ts';
import { shakenPair, abort, talk } from '../../protocols/testing/tls/pair.ts';
import { localhost, withSecureReactor } from '../../protocols/testing/tls/secure-reactor.ts';

const COUNT = 1_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
const distinct = (all: readonly Uint8Array[]): void => {
  expect(new Set(all.map(hex)).size).toBe(all.length);
};

describe('a value that must be fresh differs each time:', () => {
  it('the nonce of a seal, for one place and for many, in one sealer and in several with one secret', () => {
    const secret = new Uint8Array(32);
    const [one, other] = [new Sealer(secret, 'test'), new Sealer(secret, 'test')];
    // The first byte is the version, the next twelve are the nonce.
    const nonces = times(COUNT, (index) =>
      (index % 2 === 0 ? one : other)
        .seal(index % 3 === 0 ? 'same' : String(index), Buffer.from('text'))
        .subarray(1, 13),
    );
    distinct(nonces);
    // Every byte of the nonce varies. In a counter or a constant some bytes would not.
    for (let at = 0; at < 12; at++)
      expect(new Set(nonces.map((nonce) => nonce[at])).size, `byte ${String(at)}`).toBeGreaterThan(128);
  });

  it('the nonce of a session that a vault saves again under the same id', async () => {
    const store = new MapStore();
    const vault = new Vault({ store, key: new Uint8Array(32), lookupMs: 1_000 });
    const id = vault.makeId();
    const time = { now: () => 0, after: () => () => undefined };
    const values: Uint8Array[] = [];
    for (let index = 0; index < 100; index++) {
      await vault.save(id, Buffer.from('session'), { scope: new Uint8Array(32), serverName: 'a.test' }, 1_000, time);
      values.push(store.values.get(Buffer.from(id).toString('base64url')) as Uint8Array);
    }
    distinct(values.map((value) => value.subarray(1, 13)));
  });

  it('the id of a session, in one vault and in many', () => {
    const vaults = times(10, () => new Vault({ store: new MapStore(), key: new Uint8Array(32), lookupMs: 1_000 }));
    distinct(times(COUNT, (index) => vaults[index % 10].makeId().subarray(0, 24)));
  });

  it('the key of each span and of each ring, in its name, its cipher key and its MAC key', () => {
    let now = 0;
    const keys = times(50, () => new TicketKeys({ rotateMs: 1_000, now: () => now })).flatMap((ring) =>
      times(10, (span) => {
        now = span * 1_000;
        const { name, cipherKey, macKey } = ring.sealing();
        return [Buffer.from(name), Buffer.from(cipherKey), Buffer.from(macKey)];
      }),
    );
    for (const part of [0, 1, 2]) distinct(keys.map((key) => key[part]));
    distinct(keys.flatMap(([, cipherKey, macKey]) => [cipherKey, macKey]));
  });

  it('the secret of a vault that is made without a key', () => {
    const vaults = times(20, () => new Vault({ store: new MapStore(), lookupMs: 1_000 }));
    for (const vault of vaults) expect(vaults.filter((other) => other.isOwn(vault.makeId()))).toEqual([vault]);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('the initial vector of a ticket under one key, in %s', (max) =>
    withSecureReactor(async (secure) => {
      const ticketKeys = new TicketKeys();
      const name = Buffer.from(ticketKeys.sealing().name);
      const server = await secure.server({ resumption: 'stateless', ticketKeys, protocols: { max } });
      const client = await secure.client({ sessions: 'off' });
      const vectors: Uint8Array[] = [];
      for (let visit = 0; visit < 12; visit++) {
        const pair = await shakenPair(secure, { client, server });
        await talk(...pair);
        const der = Buffer.from(pair[0].session?.toDer() ?? []);
        // A ticket consists of the name of the key (16 bytes), the initial vector (16 bytes), and the encrypted
        // session.
        const at = der.indexOf(name);
        expect(at).toBeGreaterThan(0);
        vectors.push(der.subarray(at + 16, at + 32));
        abort(...pair);
      }
      distinct(vectors);
      ticketKeys.close();
    }),
  );

  it('the key and the serial number of a self-signed certificate', () => {
    const made = times(20, () => Certificate.load(selfSigned().certificate));
    expect(new Set(made.map((each) => each.serial)).size).toBe(20);
    expect(new Set(made.map((each) => each.publicKeyDigest())).size).toBe(20);
  });

  it('the scope of a server context with a callback, which no other context can share', async () => {
    const contexts = await Promise.all(
      times(10, () =>
        TlsContext.server({
          certificate: { pem: localhost.certificate },
          key: { pem: localhost.key },
          alpn: () => undefined,
        }),
      ),
    );
    expect(new Set(contexts.map((context) => hex(context.settings.scope))).size).toBe(10);
    for (const context of contexts) context.close();
  });
});
