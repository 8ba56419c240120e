// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
)

// voiceShift is what AudioAlter multiplies frequencies by, those of formants as well as the pitch: formants tell how
// long a vocal tract is, and pitch how thick vocal cords are, and a listener knows people by both. docs/voices.md has
// what it does to voices and words.
const voiceShift = 1.2

// voiceFilters alter voices, and keep words and times as they are. Gaps in the audio become silence before, since the
// filter counts samples.
func voiceFilters() string {
	return fmt.Sprintf("aresample=async=1,rubberband=pitch=%g:formant=shifted", voiceShift)
}

// checkVoices fails with ErrTool if this ffmpeg cannot alter voices.
func (t Tools) checkVoices(ctx context.Context) error {
	out, err := t.output(ctx, t.FFmpeg, []string{"-hide_banner", "-v", "error", "-filters"}, streams{}, bounds{}, nil)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s -filters: %w", ErrTool, t.FFmpeg, err)
	case !lists(out, "rubberband"):
		return fmt.Errorf("%w: %s has no filter rubberband, which alters voices: install a build with it, or choose "+
			"another value of output::audio", ErrTool, t.FFmpeg)
	}
	return nil
}
