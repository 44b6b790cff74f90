import { render } from 'preact';
import { App } from './app.js';
import type { PageDocument } from './document.js';

/** The document lies in the page as base64 of gzip, in a script element that is no script. */
async function readDocument(): Promise<PageDocument> {
  const text = atob(document.getElementById('data')?.textContent ?? '');
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return (await new Response(unpacked).json()) as PageDocument;
}

async function show(page: HTMLElement): Promise<void> {
  try {
    const shown = await readDocument();
    page.textContent = '';
    render(<App document={shown} />, page);
  } catch (error) {
    page.textContent = `This page cannot be shown: ${String(error)}. Its file may have been cut, or the browser is older than 2023.`;
  }
}

const page = document.getElementById('page');
if (page !== null) void show(page);
