/** TLS that starts after other bytes of a connection: after the request to an HTTP proxy, and after STARTTLS. */

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import { Relay } from '../../relay.ts';
import { host, chat, part, sClient, visitPlain } from '../../testing/tls/peer-program.ts';
import { certificateFiles, isInstalled, missing, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';

describe.skipIf(!isInstalled('openssl'))(`openssl s_client${missing('openssl')}`, () => {
  it('connects to our server through our own HTTP proxy', () =>
    withSecureReactor(async (secure) => {
      const { reactor } = secure;
      const upstream = await reactor.listen({ host, port: 0 });
      const requests: string[] = [];
      const proxy = await reactor.listen({ host, port: 0 });
      proxy.serve({}, async (connection) => {
        for (let line = await connection.receive(); line !== ''; line = await connection.receive()) requests.push(line);
        const onward = await reactor.connect({ host, port: portOf(upstream) });
        await connection.send('HTTP/1.0 200 connected\r\n\r\n');
        await new Relay(connection, onward).done;
      });
      const { certificate } = certificateFiles();
      const program = new Program(
        'openssl',
        's_client',
        '-proxy',
        `${host}:${String(portOf(proxy))}`,
        '-connect',
        'localhost:443',
        '-servername',
        'localhost',
        '-CAfile',
        certificate,
        '-verify_return_error',
      );
      const connection = (await upstream.accept()).secure(await secure.server());
      await connection.handshake();
      await program.says(/Verification: OK/);
      expect(requests[0]).toBe('CONNECT localhost:443 HTTP/1.0');
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }));

  it('starts TLS in the middle of a plain SMTP dialogue', () =>
    withSecureReactor(async (secure) => {
      const { certificate } = certificateFiles();
      const { program, connection: plain } = await visitPlain(secure, (port) =>
        sClient(port, '-starttls', 'smtp', '-name', 'a.test', '-CAfile', certificate, '-verify_return_error'),
      );
      await plain.send('220 mail.test ready\r\n');
      expect(await plain.receive()).toBe('EHLO a.test');
      await plain.send('250-mail.test\r\n250 STARTTLS\r\n');
      expect(await plain.receive()).toBe('STARTTLS');
      await plain.send('220 go on\r\n');
      const connection = plain.secure(await secure.server());
      await connection.handshake();
      await program.says(/Verification: OK/);
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }));
});
