/** Interoperability: curl as the client of our server. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import { Relay } from '../../relay.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { Authority } from '../../testing/tls/authority.ts';
import type { Layer } from '../../testing/tls/pair.ts';
import { host } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const caFile = fileOf('authority.pem', authority.pem);
const site = authority.issue({ names: ['site.test'] });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };
const person = authority.issue({ names: ['somebody@example.org'], purpose: 'client' });
const identity = ['--cert', fileOf('person.pem', person.certificate), '--key', fileOf('person.key', person.key)];
const versions = {
  'TLSv1.2': ['--tlsv1.2', '--tls-max', '1.2'],
  'TLSv1.3': ['--tlsv1.3', '--tls-max', '1.3'],
} as const;

/** Serves a page with the text that `about` returns for the connection; @returns the port. */
async function serve(
  { reactor }: SecureReactor,
  secure: Layer,
  about: (connection: SecureConnection) => string | undefined,
): Promise<number> {
  const listener = await reactor.listen({ host, port: 0 });
  listener.serve({ secure }, async (connection) => {
    for (;;) {
      for (let line = await connection.receive(); line !== ''; line = await connection.receive());
      const page = `${about(connection) ?? 'nothing'}\n`;
      await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${String(page.length)}\r\n\r\n${page}`);
    }
  });
  return portOf(listener);
}

function curl(port: number, ...args: string[]): Program {
  const site = `site.test:${String(port)}`;
  return new Program(
    'curl',
    '--silent',
    '--show-error',
    '--resolve',
    `${site}:${host}`,
    '--cacert',
    caFile,
    ...args,
    `https://${site}/`,
  );
}

/** @returns what curl prints. @throws {Error} when curl fails. */
async function page(port: number, ...args: string[]): Promise<string> {
  const program = curl(port, ...args);
  const code = await program.exit();
  if (code !== 0) throw new Error(`curl ended with ${String(code)}: ${program.output}`);
  return program.output.trim();
}

describe.skipIf(!isInstalled('curl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `curl, under %s,${missing('curl')}`,
  (version) => {
    const args = versions[version];

    it('gets pages from our server by name, over one connection', () =>
      withSecureReactor(async (secure) => {
        const seen = new Set<SecureConnection>();
        const port = await serve(secure, await secure.server(own), (connection) => {
          seen.add(connection);
          return `${connection.info().protocol} ${String(connection.info().serverName)}`;
        });
        expect(await page(port, ...args, `https://site.test:${String(port)}/first`)).toBe(
          `${version} site.test\n${version} site.test`,
        );
        expect(seen.size).toBe(1);
      }));

    it('negotiates HTTP/1.1 with our server', () =>
      withSecureReactor(async (secure) => {
        const port = await serve(
          secure,
          await secure.server({ ...own, alpn: ['http/1.1'] }),
          (connection) => connection.info().alpn,
        );
        expect(await page(port, ...args, '--alpn')).toBe('http/1.1');
        expect(await page(port, ...args, '--no-alpn')).toBe('nothing');
      }));

    it('presents its certificate, and fails without one', () =>
      withSecureReactor(async (secure) => {
        const port = await serve(
          secure,
          await secure.server({ ...own, ca, verify: ['peer', 'fail_if_no_peer_cert'] }),
          (connection) => connection.peerCertificate()?.checkEmail('somebody@example.org'),
        );
        expect(await page(port, ...args, ...identity)).toBe('somebody@example.org');
        const program = curl(port, ...args);
        // 35 when curl sees the alert in the handshake, 56 when it sees the alert with its first read.
        expect(await program.exit()).toBe(version === 'TLSv1.2' ? 35 : 56);
        expect(program.output).toMatch(/alert/);
      }));

    it('fails when it has no protocol version in common with our server', () =>
      withSecureReactor(async (secure) => {
        const other = version === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2';
        const port = await serve(
          secure,
          await secure.server({ ...own, protocols: { min: other, max: other } }),
          () => undefined,
        );
        expect(await curl(port, ...args).exit()).toBe(35);
      }));

    it('rejects a certificate from an unknown authority, or for another name', () =>
      withSecureReactor(async (secure) => {
        for (const issued of [
          new Authority().issue({ names: ['site.test'] }),
          authority.issue({ names: ['other.test'] }),
        ]) {
          const port = await serve(
            secure,
            await secure.server({ certificate: { pem: issued.certificate }, key: { pem: issued.key } }),
            () => undefined,
          );
          expect(await curl(port, ...args).exit()).toBe(60);
        }
      }));

    it('rejects an invalid OCSP staple', () =>
      withSecureReactor(async (secure) => {
        const port = await serve(
          secure,
          await secure.server({ ...own, ocspStaple: Buffer.from('300306010600', 'hex') }),
          () => undefined,
        );
        const program = curl(port, ...args, '--cert-status');
        // CURLE_SSL_INVALIDCERTSTATUS: this staple is no OCSP response.
        expect(await program.exit()).toBe(91);
      }));

    it('gets a page of a web server through our relay', () =>
      withSecureReactor(async (secure) => {
        const web = createServer((request, response) => {
          response.end(`you asked for ${String(request.url)}\n`);
        });
        web.listen(0, host);
        await once(web, 'listening');
        const upstream = (web.address() as AddressInfo).port;
        const listener = await secure.reactor.listen({ host, port: 0 });
        listener.serve({ secure: await secure.server(own) }, async (connection) => {
          await new Relay(connection, await secure.reactor.connect({ host, port: upstream })).done;
        });
        expect(await page(portOf(listener), ...args)).toBe('you asked for /');
        web.close();
      }));
  },
);
