/** A reactor for one TLS test, and the check that the test freed all OpenSSL objects. */

import assert from 'node:assert/strict';

import type { Reactor } from '../../../reactor/reactor.ts';
import { withReactor } from '../../../reactor/testing/with-reactor.ts';
import { TlsContext } from '../../tls/context/context.ts';
import type { TlsClientOptions, TlsServerOptions } from '../../tls/context/options.ts';
import { openssl } from '../../tls/openssl.ts';
import { selfSigned } from '../../tls/certificates/self-signed.ts';
import { livingTlsTransports } from '../../tls/tls-transport.ts';

/** A certificate for localhost and 127.0.0.1, and its key. */
export const localhost = selfSigned();

/** What a TLS test gets. The contexts are closed after the test. */
export interface SecureReactor {
  readonly reactor: Reactor;
  server(options?: Partial<TlsServerOptions>): Promise<TlsContext>;
  /** Trusts {@link localhost} by default. */
  client(options?: TlsClientOptions): Promise<TlsContext>;
}

/** Drops the options that are `undefined`: with them a test leaves a default out, but a context would refuse them. */
function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

export async function withSecureReactor(use: (secure: SecureReactor) => Promise<void>): Promise<void> {
  const contexts: TlsContext[] = [];
  const keep = (context: TlsContext): TlsContext => {
    contexts.push(context);
    return context;
  };
  const before = livingTlsTransports();
  await withReactor((reactor) =>
    use({
      reactor,
      server: async (options) =>
        keep(
          await TlsContext.server(
            given({ certificate: { pem: localhost.certificate }, key: { pem: localhost.key }, ...options }),
          ),
        ),
      client: async (options) =>
        keep(await TlsContext.client(given({ ca: { pem: localhost.certificate }, ...options }))),
    }),
  );
  for (const context of contexts) context.close();
  assert.equal(livingTlsTransports(), before, 'every TLS object is freed');
  assert.equal(openssl().ERR_peek_error(), 0, "OpenSSL's error queue is empty");
}
