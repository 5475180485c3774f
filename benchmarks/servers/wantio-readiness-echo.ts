/** Echo on wantio, by readiness. */
import { pump } from './wantio-pump.ts';
import { listen, secured } from './wantio-listen.ts';

const { listener } = await listen();
listener.connections$.subscribe((accepted) => {
  const connection = secured(accepted);
  pump(connection, connection, () => void connection.close());
});
