/** Creates a volume as the copy of another, and shows how far the copy is. */
import type { ApiClient } from '../api/client.js';
import type { Problem, VolumeBody, VolumeCreateBody } from '../api/types.js';
import { AurochsError, passesByItself } from '../core/errors.js';
import type { Terminal } from './terminal.js';

/** Listens before it asks, so that the end of a quick copy is not missed. */
export async function createCopy(
  api: ApiClient,
  terminal: Terminal,
  body: VolumeCreateBody,
): Promise<VolumeBody> {
  const listening = new AbortController();
  const events = await api.events(listening.signal);
  try {
    const volume = await api.createVolume(body);
    if (volume.state !== 'creating') return volume;
    const { showProgress } = await import('./progress.js'); // Its library is slow to load.
    const progress = showProgress(terminal, `copying ${volume.name}`);
    try {
      for await (const event of events) {
        if (event.type === 'copyProgress' && event.volume === volume.name) {
          progress.update(event.share);
        }
        if (event.type === 'volumeDeleted' && event.id === volume.id) throw deleted(volume.name);
        if (event.type !== 'volume' || event.volume.id !== volume.id) continue;
        const { state, problem } = event.volume;
        if (problem !== null && !passesByItself(problem.code)) throw failed(volume.name, problem);
        if (state === 'creating') continue;
        progress.update(1);
        return event.volume;
      }
    } finally {
      progress.stop();
    }
  } finally {
    listening.abort();
  }
  throw new AurochsError('UNAVAILABLE', 'the agent stopped during the copy', BEGINS_ANEW);
}

const BEGINS_ANEW = 'The copy begins anew when the agent runs again.';

function failed(volume: string, { code, message, hint }: Problem): AurochsError {
  const first = hint === undefined ? '' : `${hint} Then: `;
  return new AurochsError(
    code,
    message,
    `${first}aurochs volume rm ${volume}, and create it anew.`,
  );
}

function deleted(volume: string): AurochsError {
  return new AurochsError('ABORTED', `volume ${volume} was deleted while it was being copied`);
}
