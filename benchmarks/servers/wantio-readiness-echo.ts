/** Echo on wantio, by readiness: a pump from each connection to itself. */
import { Pump } from '../../protocols/pump.ts';
import { listen, secured } from './wantio-listen.ts';

const { listener } = await listen();
listener.connections$.subscribe((accepted) => {
  const connection = secured(accepted);
  const close = (): void => void connection.close();
  new Pump(connection, connection, {
    moved: () => undefined,
    ended: close,
    sourceFailed: close,
    destinationFailed: close,
  }).start();
});
