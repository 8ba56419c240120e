// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Icons of 16 x 16 pixels. The text next to an icon says the same.
const paths = {
  approved: "M3 8.5l3.2 3.2L13 5",
  canceled: "M4 4l8 8M12 4l-8 8",
  failed: "M8 2.2L15 14H1zM8 6.5v3.2M8 11.8v.2",
  in_review: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 100 3.6 1.8 1.8 0 000-3.6",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  rejected: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM3.7 3.7l8.6 8.6",
  to_review: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 100 3.6 1.8 1.8 0 000-3.6",
  waiting: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 4.6V8l2.3 1.6",
  working: "M13.8 8A5.8 5.8 0 118 2.2M8 2.2l2.6-1.4M8 2.2l2.2 1.9",
  play: "M4.5 2.8v10.4L13 8z",
  pause: "M5.5 3v10M10.5 3v10",
  back: "M10 3.5L5.5 8l4.5 4.5",
  on: "M6 3.5L10.5 8 6 12.5",
  backTen: "M8 3.5L3.5 8 8 12.5M12.5 3.5L8 8l4.5 4.5",
  onTen: "M8 3.5L12.5 8 8 12.5M3.5 3.5L8 8l-4.5 4.5",
  loop: "M3 7a3 3 0 013-3h7M13 4l-2-2M13 4l-2 2M13 9a3 3 0 01-3 3H3M3 12l2-2M3 12l2 2",
  masks: "M8 2.5c2.6 0 4.2 2.4 4.2 5.5S10.6 13.5 8 13.5 3.8 11.1 3.8 8 5.4 2.5 8 2.5",
  zoom: "M7 2.500a4.5 4.5 0 100 9 4.5 4.5 0 000-9zM10.3 10.300L14 14M7 5v4M5 7h4",
  keys: "M1.5 4h13v8h-13zM4 6.500h.1M7 6.500h.1M10 6.500h.1M12 6.500h.1M4.5 9.500h7",
  search: "M7 2.500a4.5 4.5 0 100 9 4.5 4.5 0 000-9zM10.3 10.300L14 14",
  upload: "M8 11V2.500M4.5 6L8 2.5 11.5 6M2.5 10.500v3h11v-3",
  first: "M8 13.500V4M4 8l4-4 4 4M3 2.200h10",
  retry: "M13.2 6A5.6 5.6 0 103.3 11.500M13.2 2.500V6H9.7",
  warning: "M8 2.200L15 14H1zM8 6.500v3.200M8 11.800v.2",
};

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name]} class={name === "play" ? "filled" : undefined} />
    </svg>
  );
}
