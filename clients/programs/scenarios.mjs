// What the Node programs share: the scripted models, and one JSON line on standard output for each scenario that was run.
import assert from 'node:assert/strict';

export const url = process.env.GATEWAY_URL;
export const key = process.env.GATEWAY_KEY;
export const wrongKey = 'th-nobody';
export const said = 'The toll is paid.';
export const city = 'Oslo';

const LIMIT_MS = 30_000;
const words = encodeURIComponent(said);
const args = encodeURIComponent(JSON.stringify({ city }));

// The model that plays a part, at the upstream of a format; `client` tells the recorded requests of programs apart.
export function models(upstream, client) {
  const script = (words) => `${upstream}/script/token=${encodeURIComponent(client)}/${words}`;
  return {
    text: script(`say=${words}`),
    thinking: script(`reasoning=6/say=${words}`),
    tools: script(`reasoning=6/once/call=weather/args=${args}/say=${words}`),
    // What is not scripted is the smallest instance of the schema.
    structured: script('chunk_tokens=2'),
    status: (status) => script(`status=${status}`),
    broken: script('text=30/error_at=9'),
  };
}

// Runs each of `scenarios` (a name and an async function of the models) against each upstream.
export async function run(client, scenarios, prefix = '') {
  const chosen = process.env.UPSTREAMS.split(' ');
  for (const upstream of chosen) {
    for (const [scenario, play] of Object.entries(scenarios)) {
      let failure = null;
      try {
        await within(play(models(prefix + upstream, client)));
      } catch (error) {
        failure = String(error?.message ?? error).slice(0, 300) || 'failed without a message';
      }
      console.log(JSON.stringify({ client, upstream, scenario, failure }));
    }
  }
}

function within(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

// Fails unless `attempt` is refused with this status, as the library itself tells it.
export async function refused(status, attempt) {
  try {
    await attempt();
  } catch (error) {
    assert.equal(error.status ?? error.statusCode ?? error.cause?.statusCode, status, String(error));
    return;
  }
  assert.fail(`not refused with ${status}`);
}

// Fails unless `attempt` throws: a stream that was broken off must not look complete.
export async function breaks(attempt) {
  await assert.rejects(attempt);
}
