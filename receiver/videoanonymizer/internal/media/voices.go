// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
)

const (
	// voiceShift is the factor by which AudioAlter multiplies or divides frequencies, of formants as well as the pitch:
	// formants reveal how long a vocal tract is, and pitch how thick vocal cords are, and listeners recognize people by
	// both.
	voiceShift = 1.2
	// highPitch is the median pitch in Hz from which voices are shifted down; lower ones are shifted up. It lies between
	// the pitches of men and women, so that both move to the middle, where words are understood.
	highPitch = 155
	// pitchLength is how much audio is analyzed for the pitch, in seconds.
	pitchLength = 300
)

// voiceFilters alter voices, and keep words and times as they are. Gaps in the audio become silence first, since the
// filter rubberband counts samples.
func voiceFilters(shift float64) string {
	return fmt.Sprintf("aresample=async=1,rubberband=pitch=%.4f:formant=shifted", shift)
}

// listen decides for each audio stream which way its voices are shifted.
func (w *Writer) listen() error {
	for stream := range w.extras.audio {
		pitch, err := w.pitchOf(stream)
		if err != nil {
			return err
		}
		shift := voiceShift
		if pitch >= highPitch {
			shift = 1 / voiceShift
		}
		w.extras.shifts = append(w.extras.shifts, shift)
	}
	return nil
}

// pitchOf returns the median pitch in Hz of an audio stream's beginning, 0 if it has none or cannot be decoded:
// tryExtras then finds out whether it can be altered.
func (w *Writer) pitchOf(stream int) (pitch float64, err error) {
	info := w.plan.info
	f, err := w.extras.reopen()
	if err != nil {
		return 0, err
	}
	args := append(slices.Clone(quietArgs), inputArgs(info.limits)...)
	args = append(args, "-t", strconv.Itoa(pitchLength), "-i", inputURL, "-map", fmt.Sprintf("0:a:%d", stream),
		"-ac", "1", "-ar", strconv.Itoa(pitchRate), "-f", "s16le", "pipe:1")
	read := func(r io.Reader) error {
		raw, err := io.ReadAll(io.LimitReader(r, 2*pitchLength*pitchRate))
		samples := make([]int16, len(raw)/2)
		for i := range samples {
			samples[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
		}
		pitch = medianPitch(samples)
		if err == nil { // ffmpeg waits until all is read
			_, err = io.Copy(io.Discard, r)
		}
		return err
	}
	_, _ = w.tools.stream(w.ctx, w.tools.FFmpeg, args, streams{source: f}, info.limits.reading(), read)
	return pitch, context.Cause(w.ctx)
}

// checkVoices fails with ErrTool if this ffmpeg cannot alter voices.
func (t Tools) checkVoices(ctx context.Context) error {
	switch there, err := t.offers(ctx, "-filters", "rubberband"); {
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("%w: %s has no filter rubberband, which alters voices: install a build with it, or choose "+
			"another value of output::audio", ErrTool, t.FFmpeg)
	}
	return nil
}
