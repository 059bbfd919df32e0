// The Vercel AI SDK with each of its three providers.
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { city, key, refused, run, said, url, wrongKey } from './scenarios.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
const baseURL = `${url}/v1`;
const schema = z.object({ city: z.string() });
const prompt = 'What is the weather in Oslo?';
const compatible = (apiKey) => createOpenAICompatible({ name: 'gateway', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });

// `provider` makes a model of a key and a name.
function scenarios(provider) {
  const options = (name, apiKey = key) => ({ model: provider(apiKey, name), prompt, maxRetries: 0 });
  return {
    text: async ({ text }) => assert.equal((await generateText(options(text))).text, said),
    stream: async ({ thinking }) => {
      const stream = streamText({ ...options(thinking), onError: () => {} });
      assert.equal(await stream.text, said);
      assert.ok((await stream.usage).outputTokens > 0);
    },
    tools: async ({ tools }) => {
      const calls = [];
      const weather = tool({ description: 'The weather.', inputSchema: schema, execute: (given) => (calls.push(given), 'Rain.') });
      const stream = streamText({ ...options(tools), tools: { weather }, stopWhen: stepCountIs(3) });
      assert.equal(await stream.text, said);
      assert.deepEqual(calls, [{ city }]);
    },
    structured: async ({ structured }) => {
      const { output } = await generateText({ ...options(structured), output: Output.object({ schema }) });
      assert.equal(typeof output.city, 'string');
    },
    'error 400': async ({ status }) => refused(400, () => generateText(options(status(400)))),
    'error 401': async ({ text }) => refused(401, () => generateText(options(text, wrongKey))),
    'error 429': async ({ status }) => refused(429, () => generateText(options(status(429)))),
    'broken stream': async ({ broken }) => {
      const errors = [];
      await streamText({ ...options(broken), onError: ({ error }) => errors.push(error) }).consumeStream();
      assert.equal(errors.length, 1);
    },
  };
}

await run('ai + @ai-sdk/openai, Responses', scenarios((apiKey, name) => createOpenAI({ baseURL, apiKey })(name)));
await run('ai + @ai-sdk/openai, Chat', scenarios((apiKey, name) => createOpenAI({ baseURL, apiKey }).chat(name)));
await run('ai + @ai-sdk/openai-compatible', scenarios((apiKey, name) => compatible(apiKey)(name)));
await run('ai + @ai-sdk/anthropic', scenarios((apiKey, name) => createAnthropic({ baseURL, apiKey })(name)));
// Of models that it knows by name it asks for more: thinking, structured output of Anthropic's own.
const known = (apiKey, name) => createAnthropic({ baseURL, apiKey })(name);
await run('ai + @ai-sdk/anthropic, Claude', scenarios(known), 'claude-sonnet-4-5-');
