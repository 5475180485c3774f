/** An echo server that reports the first shortage of descriptors. A test runs it in a process with a low limit. */

import { formatAddress } from '../addresses/address.ts';
import { closeOnSignal } from '../close-on-signal.ts';
import { Reactor } from '../reactor.ts';

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.once('overload', (error) => {
  console.log(`overload ${error.code}`);
});
listener.serve({}, async (connection) => {
  for await (const bytes of connection) await connection.send(bytes);
});
console.log(`listening ${formatAddress(listener.address)}`);
await closeOnSignal(reactor, { timeoutMs: 100 });
