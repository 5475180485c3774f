/** TLS contexts for laws, with one self-signed certificate. */

import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { TlsVersion } from '../../protocols/tls/context/options.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import type { Contexts } from './scenarios.ts';

const { certificate, key } = selfSigned({ names: ['there'] });

/** Makes the contexts of both sides for one version. The certificate is for a machine named `there`. */
export async function contextsFor(version: TlsVersion): Promise<Contexts> {
  const protocols = { min: version, max: version };
  return {
    client: await TlsContext.client({ ca: { pem: certificate }, protocols }),
    server: await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, protocols }),
  };
}
