// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// The values of WriteOptions.Audio.
const (
	// AudioDrop leaves the audio out: voices identify people.
	AudioDrop = "drop"
	// AudioCopy copies all audio streams of the source as they are.
	AudioCopy = "copy"
	// AudioMute replaces each audio stream of the source with silence as long as the video.
	AudioMute = "mute"
	// AudioAlter encodes all audio streams of the source with altered voices.
	AudioAlter = "alter"
)

// AudioModes returns the values of WriteOptions.Audio.
func AudioModes() []string { return []string{AudioDrop, AudioCopy, AudioMute, AudioAlter} }

// The values of WriteOptions.Keep that are not names of tags.
const (
	KeepChapters  = "chapters"
	KeepSubtitles = "subtitles"
)

// extras are what an output contains besides its video stream.
type extras struct {
	source          *os.File  // nil if none of the following needs it
	sound           bool      // all audio of the source
	shifts          []float64 // factors by which the voices in each audio stream are shifted; nil if they are not
	silent          int       // number of silent audio streams
	subtitles       bool
	chapters        bool
	tags            []string // key=value
	audio, subtitle int      // numbers of streams that the output must have
}

// openExtras finds out what the plan keeps from the source. It tests whether the container accepts it, so that a video
// is refused before it is encoded rather than after.
func (w *Writer) openExtras() error {
	e, info, options := &w.extras, w.plan.info, w.plan.options
	e.sound = w.plan.keepsSound()
	e.subtitles = slices.Contains(options.Keep, KeepSubtitles) && info.SubtitleStreams > 0
	e.chapters = slices.Contains(options.Keep, KeepChapters)
	if options.Audio == AudioMute {
		e.silent = info.AudioStreams
	}
	tags := slices.DeleteFunc(slices.Clone(options.Keep), func(k string) bool {
		return k == KeepChapters || k == KeepSubtitles
	})
	if e.sound || e.silent > 0 {
		e.audio = info.AudioStreams
	}
	if e.subtitles {
		e.subtitle = info.SubtitleStreams
	}
	if !e.sound && !e.subtitles && !e.chapters && len(tags) == 0 {
		return nil
	}
	var err error
	if e.source, err = info.openAgain(); err != nil {
		return err
	}
	if len(tags) > 0 {
		if err := w.readTags(tags); err != nil {
			return err
		}
	}
	if e.sound && options.Audio == AudioAlter {
		if err := w.listen(); err != nil {
			return err
		}
	}
	if e.sound || e.subtitles {
		return w.tryExtras()
	}
	return nil
}

// maxTag is about half of what the kernel accepts as one argument of a program, in bytes.
const maxTag = 64 << 10

// readTags reads the source's tags with these names.
func (w *Writer) readTags(names []string) error {
	info := w.plan.info
	f, err := w.extras.reopen()
	if err != nil {
		return err
	}
	var p struct {
		Format struct {
			Tags map[string]string `json:"tags"`
		} `json:"format"`
	}
	if err := w.tools.ask(w.ctx, info.Path, f, info.limits, &p, "-show_entries", "format_tags"); err != nil {
		return err
	}
	for key, value := range p.Format.Tags {
		wanted := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, key) })
		if !wanted || strings.ContainsAny(key, "=:") {
			continue
		}
		if len(value) > maxTag {
			return fileError(info.Path, ErrLimit, "its tag %q is longer than %d bytes: leave it out of output::keep",
				key, maxTag)
		}
		w.extras.tags = append(w.extras.tags, key+"="+value)
	}
	slices.Sort(w.extras.tags)
	return nil
}

// tryExtras writes the beginning of audio and subtitles to the container, without video.
func (w *Writer) tryExtras() error {
	info, muxer := w.plan.info, w.plan.container.muxer
	f, err := w.extras.reopen()
	if err != nil {
		return err
	}
	args := append(append(slices.Clone(quietArgs), "-y"), inputArgs(info.limits)...)
	args = append(args, "-t", "1", "-i", inputURL)
	args = append(args, w.extras.mapping(0)...)
	args = append(args, "-c", "copy")
	args = append(args, w.audioArgs()...)
	args = append(args, "-map_metadata", "-1", "-map_chapters", "-1", "-f", muxer, outputURL)
	temp, err := reserve(w.temp)
	if err != nil {
		_ = f.Close()
		return err
	}
	defer func() { _ = os.Remove(w.temp) }()
	s := streams{source: f, output: temp}
	if _, err = w.tools.output(w.ctx, w.tools.FFmpeg, args, s, info.limits.writing(), nil); err == nil {
		err = w.countExtras()
	}
	cause := ErrUnsupported
	switch {
	case err == nil:
		return nil
	case context.Cause(w.ctx) != nil:
		return fileError(info.Path, context.Cause(w.ctx), "")
	case errors.As(err, new(overLimit)):
		return fileError(info.Path, ErrLimit, "%v, trying its audio or subtitles", err)
	case Reason(err) != "other" && !Permanent(err):
		return err
	case passingFault(err.Error(), err) != nil:
		cause = passingFault(err.Error(), err)
	default:
		if disk := encodeCause(err.Error()); !errors.Is(disk, ErrTool) {
			cause = disk
		}
	}
	advice := "choose container mkv, or leave them out"
	if muxer == "matroska" {
		advice = "leave them out"
	}
	return fileError(info.Path, cause, "its audio or subtitles do not fit into %s: %s: %s",
		muxer, advice, tidy(err.Error()))
}

// countExtras fails unless the streams that tryExtras wrote can be read back: some containers accept any stream, as
// data of unknown kind.
func (w *Writer) countExtras() error {
	f, err := durable.Open(w.temp, os.O_RDONLY)
	if err != nil {
		return err
	}
	var p struct {
		Streams []struct {
			Type string `json:"codec_type"`
		} `json:"streams"`
	}
	if err := w.tools.ask(w.ctx, w.temp, f, w.plan.info.limits, &p, "-show_entries", "stream=codec_type"); err != nil {
		return err
	}
	count := func(kind string) (n int) {
		for _, s := range p.Streams {
			if s.Type == kind {
				n++
			}
		}
		return n
	}
	audio := 0
	if w.extras.sound {
		audio = w.extras.audio
	}
	if count("audio") != audio || count("subtitle") != w.extras.subtitle {
		return fmt.Errorf("of %d and %d streams, %d and %d can be read back",
			audio, w.extras.subtitle, count("audio"), count("subtitle"))
	}
	return nil
}

// reopen opens the source for another child: the same file, even if its name is gone.
func (e *extras) reopen() (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", e.source.Fd()))
	if err != nil {
		return nil, fileError(e.source.Name(), ErrUnreadable, "%v", rootCause(err))
	}
	return f, nil
}

func (e *extras) close() {
	if e.source != nil {
		_ = e.source.Close()
	}
}

// mapping selects the streams to keep from the source, which is ffmpeg's input with this number.
func (e *extras) mapping(input int) []string {
	var args []string
	if e.sound {
		args = append(args, "-map", fmt.Sprintf("%d:a", input))
	}
	if e.subtitles {
		args = append(args, "-map", fmt.Sprintf("%d:s", input))
	}
	return args
}

// audioArgs say how audio is written. They override the arguments before them, which copy every stream. Audio before
// zero, such as the priming samples of an encoder, is dropped: to keep it, some containers would delay everything else.
func (w *Writer) audioArgs() (args []string) {
	container := w.plan.container
	if !container.signed {
		args = append(args, "-bsf:a", `noise=drop=lt(pts\,0)`)
	}
	for stream, shift := range w.extras.shifts {
		args = append(args, fmt.Sprintf("-filter:a:%d", stream), voiceFilters(shift))
	}
	if w.extras.silent > 0 || len(w.extras.shifts) > 0 {
		args = append(args, "-c:a", container.audio)
	}
	return args
}
