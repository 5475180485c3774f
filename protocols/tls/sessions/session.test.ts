import { spawnSync } from 'node:child_process';
import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';

import type { TlsClientOptions, TlsServerOptions } from '../context/options.ts';
import { TlsError } from '../tls-error.ts';
import { fileOf, isInstalled, missing } from '../../testing/tls/program.ts';
import { localhost, withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import { LIFETIME_AT_MOST, TlsSession } from './session.ts';
import { met, sessionFrom } from '../../testing/stores/visits.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const policies = ['stateful', 'stateless'] as const;

/** Calls `use` with the session of a client. */
async function withSession(
  server: Partial<TlsServerOptions>,
  client: TlsClientOptions,
  use: (session: TlsSession) => void | Promise<void>,
): Promise<void> {
  await withSecureReactor(async (secure) => {
    const session = await sessionFrom(secure, await secure.server({ resumption: 'stateful', ...server }), client);
    await use(session);
    session.dispose();
  });
}

/** The session's secret, as OpenSSL prints it. */
function secretOf(session: TlsSession): string {
  return (
    /(?:Master-Key|Resumption PSK): ([0-9A-F]{64,})/.exec(session.print({ secrets: true }))?.[1] ?? ''
  ).toLowerCase();
}

describe.each(versions)('a session of %s', (version) => {
  const protocols = { min: version, max: version };

  it('is the same after a round trip through DER and PEM', () =>
    withSession({}, { protocols }, (session) => {
      const der = session.toDer();
      const pem = session.toPem();
      expect(pem).toMatch(
        /^-----BEGIN SSL SESSION PARAMETERS-----\n(?:[\w+/=]{1,64}\n)+-----END SSL SESSION PARAMETERS-----\n$/,
      );
      for (const copy of [
        TlsSession.fromDer(der),
        TlsSession.fromPem(pem),
        TlsSession.fromPem(`what came before\r\n${pem.replaceAll('\n', '\r\n')}and after`),
      ]) {
        expect(Buffer.from(copy.toDer()).equals(der)).toBe(true);
        expect(copy.toPem()).toBe(pem);
        expect({ id: copy.id, time: copy.time, cipher: copy.cipher, protocol: copy.protocol }).toEqual({
          id: session.id,
          time: session.time,
          cipher: session.cipher,
          protocol: session.protocol,
        });
        copy.dispose();
      }
    }));

  it('is read from any offset in memory, and returns copies of its bytes', () =>
    withSession({}, { protocols }, (session) => {
      const der = session.toDer();
      const around = Buffer.alloc(der.length + 7, 0xee);
      around.set(der, 5);
      const copy = TlsSession.fromDer(around.subarray(5, 5 + der.length));
      around.fill(0);
      expect(Buffer.from(copy.toDer()).equals(der)).toBe(true);
      session.toDer().fill(0);
      expect(Buffer.from(session.toDer()).equals(der)).toBe(true);
    }));

  it('returns the negotiated parameters', () =>
    withSession({ alpn: ['b'] }, { protocols, alpn: ['a', 'b'] }, (session) => {
      expect(session.protocol).toBe(version);
      expect(session.cipher).toMatch(version === 'TLSv1.3' ? /^TLS_/ : /^ECDHE-/);
      expect(session.alpn).toBe('b');
      expect(session.id).toMatch(/^[0-9a-f]{64}$/);
      expect(session.resumable).toBe(true);
      expect(session.peerCertificate?.checkHost('localhost')).toBe('localhost');
      expect(session.toString()).toBe(`TlsSession ${version} ${session.id.slice(0, 16)}`);
    }));

  it('has no application protocol when none was negotiated', () =>
    withSession({}, { protocols }, (session) => {
      expect(session.alpn).toBeUndefined();
    }));

  it("contains, on the server, the requested name and the client's certificate", () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({
        resumption: 'stateful',
        verify: 'peer',
        ca: { pem: localhost.certificate },
        dangerouslyIgnorePurpose: true,
      });
      const client = await secure.client({
        protocols,
        certificate: { pem: localhost.certificate },
        key: { pem: localhost.key },
      });
      await met(secure, client, server, (near, far) => {
        expect(far.session?.serverName).toBe('localhost');
        expect(far.session?.peerCertificate?.checkHost('localhost')).toBe('localhost');
        expect(far.session?.idContext).toMatch(/^[0-9a-f]{64}$/);
        expect(near.session?.idContext).toBe('');
      });
    }));

  it.each(policies)('%s, has a ticket with a lifetime hint, or neither', (resumption) =>
    withSession({ resumption, sessionTimeoutSeconds: 1234 }, { protocols }, (session) => {
      // Under TLS 1.3 a session id is sent as a ticket too.
      expect(session.hasTicket).toBe(resumption === 'stateless' || version === 'TLSv1.3');
      expect(session.ticketLifetimeHint).toBe(session.hasTicket ? 1234 : 0);
    }),
  );

  it('can be given another time and timeout', () =>
    withSession({}, { protocols }, (session) => {
      const before = session.time.getTime();
      expect(Math.abs(before - Date.now())).toBeLessThan(60_000);
      expect(session.expiresAt.getTime()).toBe(before + session.timeoutSeconds * 1000);
      const [secret, id] = [secretOf(session), session.id];
      session.time = new Date(2_000_000_000_999);
      session.timeoutSeconds = 77.9;
      expect(session.time).toEqual(new Date(2_000_000_000_000));
      expect(session.timeoutSeconds).toBe(77);
      expect(session.expiresAt).toEqual(new Date(2_000_000_077_000));
      // It is still the same session, and its DER contains the new times.
      expect([secretOf(session), session.id]).toEqual([secret, id]);
      expect(TlsSession.fromDer(session.toDer()).expiresAt).toEqual(new Date(2_000_000_077_000));
      session.timeoutSeconds = 10 * LIFETIME_AT_MOST;
      expect(session.timeoutSeconds).toBe(7 * 24 * 3600);
      session.time = new Date(1000);
      expect(session.time).toEqual(new Date(1000));
      for (const wrong of [0, -1, 0.5, NaN])
        expect(() => {
          session.timeoutSeconds = wrong;
        }).toThrow(RangeError);
      // In DER, the start of 1970 means that there is no time, and is read as now: an old session would become a fresh
      // one.
      for (const wrong of [new Date(0), new Date(-1000), new Date(NaN)])
        expect(() => {
          session.time = wrong;
        }).toThrow(RangeError);
    }));

  it.each(policies)('%s, is printed without its secrets, and with them only on request', (resumption) =>
    withSession({ resumption }, { protocols }, (session) => {
      const [open, shown] = [session.print({ secrets: true }), session.print()];
      const secret = secretOf(session);
      expect(secret.length).toBeGreaterThanOrEqual(64);
      expect(shown.toLowerCase()).not.toContain(secret.slice(0, 16));
      expect(shown).toMatch(version === 'TLSv1.3' ? /Resumption PSK: \(hidden\)/ : /Master-Key: \(hidden\)/);
      // The ticket, which is a secret of a TLS 1.3 client until it was used.
      const dump = [...open.matchAll(/^\s+[0-9a-f]{4} - (.*?)\s{2,}/gm)].map(([, bytes]) => bytes);
      expect(dump.length > 0).toBe(session.hasTicket);
      for (const line of dump) expect(shown).not.toContain(line);
      expect(shown).not.toMatch(/^\s+[0-9a-f]{4} - /m);
      for (const stays of [
        /^SSL-Session:$/m,
        new RegExp(`Protocol +: ${version}$`, 'm'),
        /Session-ID: [0-9A-F]{64}$/m,
        /Timeout +: \d+ \(sec\)$/m,
        /Verify return code: 0 \(ok\)$/m,
      ])
        expect(shown).toMatch(stays);
    }),
  );

  it('reveals no secret when it is inspected, logged or serialized', () =>
    withSession({ resumption: 'stateless' }, { protocols }, (session) => {
      const secret = secretOf(session);
      const pem = session.toPem().split('\n')[2];
      const bytes = Buffer.from(session.toDer()).toString('latin1').slice(40, 60);
      const shown = [
        String(session),
        inspect(session, { showHidden: true, depth: 9 }),
        inspect({ deep: [session] }, { depth: 9 }),
        JSON.stringify({ session }),
        session.toString(),
        Object.keys(session).join(),
        JSON.stringify(Object.entries(session)),
      ];
      for (const text of shown) {
        expect(text.toLowerCase()).not.toContain(secret.slice(0, 16));
        expect(text).not.toContain(pem.slice(0, 16));
        expect(text).not.toContain(bytes);
      }
      expect(JSON.parse(JSON.stringify({ session }))).toEqual({
        session: `TlsSession ${version} ${session.id.slice(0, 16)}`,
      });
      // Also not when it is cloned for another thread.
      expect(structuredClone(session)).toEqual({});
    }));

  it('is wiped by dispose, and throws after it', () =>
    withSession({}, { protocols }, (session) => {
      const copy = TlsSession.fromDer(session.toDer());
      // `lend` passes the session's own memory to OpenSSL.
      copy.dispose();
      copy.dispose();
      expect(copy.disposed).toBe(true);
      expect(session.disposed).toBe(false);
      for (const use of [
        () => copy.id,
        () => copy.print(),
        () => copy.time,
        () => {
          copy.timeoutSeconds = 1;
        },
        () => copy.peerCertificate,
        () => copy.resumable,
      ])
        expect(use).toThrow('the session was disposed of');
      expect(copy.toDer()).toHaveLength(0);
      expect(String(copy)).toBe('TlsSession (disposed)');
      expect(JSON.stringify(copy)).toBe('"TlsSession (disposed)"');
      {
        const [each] = [TlsSession.fromDer(session.toDer())];
        each[Symbol.dispose]();
        expect(each.disposed).toBe(true);
      }
    }));

  it('is rejected when its DER is invalid', () =>
    withSession({}, { protocols }, (session) => {
      const der = Buffer.from(session.toDer());
      const wrongs: Uint8Array[] = [
        new Uint8Array(0),
        Buffer.from('garbage'),
        Buffer.alloc(der.length),
        Buffer.alloc(der.length, 0xff),
        Buffer.alloc(64 * 1024, 0x30),
        Buffer.alloc(64 * 1024 + 1),
        Buffer.alloc(16 * 1024 * 1024),
        Buffer.concat([der, Buffer.of(0)]),
        Buffer.concat([der, der]),
        Buffer.concat([Buffer.of(0), der]),
        // A sequence whose length exceeds the data, and one with an indefinite length.
        Buffer.concat([Buffer.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff), der.subarray(4)]),
        Buffer.concat([Buffer.of(0x30, 0x80), der.subarray(4)]),
      ];
      for (const wrong of wrongs) expect(() => TlsSession.fromDer(wrong)).toThrow(TlsError);
      for (let length = 0; length < der.length; length++)
        expect(() => TlsSession.fromDer(der.subarray(0, length))).toThrow(TlsError);
    }));

  it('is read or rejected, and never crashes, whichever byte is changed', () =>
    withSession({}, { protocols }, (session) => {
      const der = Buffer.from(session.toDer());
      let read = 0;
      for (let at = 0; at < der.length; at++) {
        const changed = Buffer.from(der);
        changed[at] ^= 0x81;
        let copy;
        try {
          copy = TlsSession.fromDer(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(TlsError);
          continue;
        }
        read++;
        // All properties of a session that was read can be used.
        for (const use of [
          () => copy.print(),
          () => copy.id,
          () => copy.protocol,
          () => copy.cipher,
          () => copy.alpn,
          () => copy.serverName,
          () => copy.time,
          () => copy.peerCertificate,
          () => copy.resumable,
          () => String(copy),
        ])
          use();
        copy.dispose();
      }
      expect(read).toBeGreaterThan(0);
    }));

  it('is rejected when its PEM is invalid', () =>
    withSession({}, { protocols }, (session) => {
      const pem = session.toPem();
      const lines = pem.trim().split('\n');
      const wrongs = [
        '',
        'garbage',
        localhost.certificate,
        pem.replace('-----END', '----END'),
        lines.slice(0, -1).join('\n'),
        pem.replace('BEGIN SSL', 'BEGIN TLS'),
        [lines[0], ...lines.slice(3)].join('\n'),
        [lines[0], '!!!!', ...lines.slice(1)].join('\n'),
        [lines[0], lines.at(-1)].join('\n'),
        [lines[0], 'A'.repeat(4_000_000), lines.at(-1)].join('\n'),
        `${lines[0]}\n`.repeat(100_000),
      ];
      for (const wrong of wrongs) expect(() => TlsSession.fromPem(wrong)).toThrow(TlsError);
    }));

  it.skipIf(!isInstalled('openssl'))(`is printed by the openssl program as by us${missing('openssl')}`, () =>
    withSession({ resumption: 'stateless' }, { protocols }, (session) => {
      const text = spawnSync('openssl', ['sess_id', '-in', fileOf('session.pem', session.toPem()), '-noout', '-text'], {
        encoding: 'utf8',
      });
      expect(text.status).toBe(0);
      // Versions of OpenSSL differ in how they print the rest.
      const told = (from: string): string[] | null =>
        from.match(
          /^ *(?:Protocol|Cipher|Session-ID|Session-ID-ctx|Master-Key|Resumption PSK|Start Time|Timeout) *:.*$/gm,
        );
      expect(told(session.print({ secrets: true }))).toEqual(told(text.stdout));
      expect(told(text.stdout)).toHaveLength(7);
      const again = spawnSync(
        'openssl',
        ['sess_id', '-in', fileOf('session.der', session.toDer()), '-inform', 'DER', '-outform', 'PEM'],
        { encoding: 'utf8' },
      );
      expect(TlsSession.fromPem(again.stdout).id).toBe(session.id);
    }),
  );
});

it('a session of TLS 1.3 is not resumable before a ticket has arrived', () =>
  withSecureReactor(async (secure) => {
    const server = await secure.server({ resumption: 'stateful', tickets: 0 });
    await met(secure, await secure.client(), server, (near) => {
      expect(near.session?.protocol).toBe('TLSv1.3');
      expect(near.session?.resumable).toBe(false);
      expect(near.session?.hasTicket).toBe(false);
    });
  }));
