/**
 * Gets a page over HTTPS and writes it to standard output as it arrives: each chunk waits until the previous one is
 * written.
 *
 *     npm run --silent sample -- https-get https://example.org/ > page.html
 *     npm run sample -- https-get https://localhost:7443/form --data 'name=value' --insecure
 *
 * You will see the status line and the headers, and then the page. Only the page goes to standard output. --header may
 * be given several times, also with the same name; --data TEXT makes the request a POST. The server's certificate must
 * be from an authority that Node.js bundles; --ca FILE (PEM) trusts other authorities, and --insecure trusts every
 * server. A failure is reported in one line, with the exit code 1.
 */

import { parseArgs } from 'node:util';

import { Reactor } from 'wantio';
import { https } from 'wantio/protocols';
import { TlsContext } from 'wantio/tls';

const {
  values,
  positionals: [url = ''],
} = parseArgs({
  allowPositionals: true,
  options: {
    header: { type: 'string', multiple: true, default: [] },
    data: { type: 'string' },
    insecure: { type: 'boolean' },
    ca: { type: 'string' },
  },
});
if (!/^https:\/\/./.test(url)) throw new RangeError('which page? Such as: https://example.org/');
const headers = Object.fromEntries(gathered(values.header));
const ca = values.ca === undefined ? 'bundled' : { file: values.ca };
const secure = await TlsContext.client({ ca, dangerouslyVerifyNobody: values.insecure === true, alpn: ['http/1.1'] });
const reactor = new Reactor();
// The callback of each write reports the error, so ignore this event.
process.stdout.on('error', () => undefined);
let isHeadPrinted = false;
try {
  printHead(await https.request(reactor, { url, headers, body: values.data, secure, sink: write }));
} catch (error) {
  console.error(`https-get: ${(error as Error).message}`);
  process.exitCode = 1;
}
await reactor.close();
secure.close();

/** Groups the values of headers by name, ignoring case. */
function gathered(texts: readonly string[]): Map<string, string[]> {
  const gathered = new Map<string, string[]>();
  for (const text of texts) {
    const [, name, value] = /^([^:]*): *(.*)$/s.exec(text) ?? [];
    if (name === undefined) throw new RangeError(`--header must be 'NAME: VALUE', not ${text}`);
    const key = name.toLowerCase();
    gathered.set(key, [...(gathered.get(key) ?? []), value]);
  }
  return gathered;
}

function write(chunk: Uint8Array, head: https.ResponseHead): Promise<void> {
  printHead(head);
  return new Promise((resolve, reject) =>
    process.stdout.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    }),
  );
}

function printHead({ statusLine, headers }: https.ResponseHead): void {
  if (!isHeadPrinted)
    console.error(
      [statusLine, ...Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`)].join('\n'),
    );
  isHeadPrinted = true;
}
