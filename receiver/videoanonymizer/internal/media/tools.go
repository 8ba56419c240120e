// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
)

// oldestMajor and oldestMinor are the oldest ffmpeg that works: the first with -fps_mode.
const oldestMajor, oldestMinor = 5, 1

// toolTimeout bounds a call that only queries a program's abilities.
const toolTimeout = 30 * time.Second

// Tools holds the absolute paths of the programs that probe, decode and encode, and how they are confined.
type Tools struct {
	FFmpeg, FFprobe string

	confinement confine.Confinement
	unconfined  error             // why the confinement is incomplete, or nil
	decoders    map[string]string // by codec, those to prefer over ffmpeg's own
}

// strictDecoders are, by codec, decoders that report broken data where ffmpeg's own silently decode it to a picture.
// Both show the same for an intact file.
var strictDecoders = map[string]string{"vp9": "libvpx-vp9"}

// FindTools returns the programs at the two paths, or those on PATH if a path is "". It fails with ErrTool, saying what
// to install or to set, if one is missing, does not run, or is older than ffmpeg 5.1.
func FindTools(ffmpeg, ffprobe string) (Tools, error) {
	var t Tools
	var errs [2]error
	t.FFmpeg, errs[0] = findTool("ffmpeg", ffmpeg)
	t.FFprobe, errs[1] = findTool("ffprobe", ffprobe)
	if err := errors.Join(errs[:]...); err != nil {
		return t, err
	}
	t.findDecoders()
	return t, nil
}

// findDecoders finds out which of the strict decoders this ffmpeg has.
func (t *Tools) findDecoders() {
	t.decoders = map[string]string{}
	ctx, cancel := context.WithTimeout(context.Background(), toolTimeout)
	defer cancel()
	listed, err := t.output(ctx, t.FFmpeg, []string{"-hide_banner", "-v", "error", "-decoders"}, streams{}, bounds{}, nil)
	for codec, decoder := range strictDecoders {
		if err == nil && lists(listed, decoder) {
			t.decoders[codec] = decoder
		}
	}
}

// lists reports whether a list that ffmpeg printed, such as its codecs, contains a name.
func lists(list []byte, name string) bool {
	for line := range bytes.Lines(list) {
		if words := bytes.Fields(line); len(words) > 1 && string(words[1]) == name {
			return true
		}
	}
	return false
}

// offers reports whether a list of this ffmpeg, such as -encoders, contains a name.
func (t Tools) offers(ctx context.Context, list, name string) (bool, error) {
	out, err := t.output(ctx, t.FFmpeg, []string{"-hide_banner", "-v", "error", list}, streams{}, bounds{}, nil)
	if err != nil {
		return false, fmt.Errorf("%w: %s %s: %w", ErrTool, t.FFmpeg, list, err)
	}
	return lists(out, name), nil
}

func findTool(name, configured string) (string, error) {
	path, err := exec.LookPath(cmp.Or(configured, name))
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w: install ffmpeg %d.%d or newer (Debian: apt-get install ffmpeg), "+
			"or set tools::%s to its path", ErrTool, name, err, oldestMajor, oldestMinor, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), toolTimeout)
	defer cancel()
	out, err := Tools{}.output(ctx, path, []string{"-version"}, streams{}, bounds{}, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %s does not run: %w", ErrTool, path, err)
	}
	if !recent(out) {
		line, _, _ := bytes.Cut(out, []byte("\n"))
		return "", fmt.Errorf("%w: %s is too old or not %s (%q): install %d.%d or newer",
			ErrTool, path, name, line, oldestMajor, oldestMinor)
	}
	return path, nil
}

var (
	releaseVersion = regexp.MustCompile(`^ff\w+ version n?(\d+)\.(\d+)`)
	sourceVersion  = regexp.MustCompile(`^ff\w+ version \S`)
)

// recent reports whether the output of -version is from a new enough program. Builds from the source repository have no
// release number and count as new.
func recent(version []byte) bool {
	m := releaseVersion.FindSubmatch(version)
	if m == nil {
		return sourceVersion.Match(version)
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	return major > oldestMajor || major == oldestMajor && minor >= oldestMinor
}

// CheckEncoder checks that this ffmpeg can write the codec of opts, that the encoder's device, if any, works, and that
// voices can be altered if AudioAlter asks for it. For codec SameAsSource it checks only the device, with the codec
// that replaces those that the device does not write. It fails with ErrTool, saying what is missing and what to do, or
// with ErrUnsupported for an unknown choice.
func (t Tools) CheckEncoder(ctx context.Context, opts WriteOptions) error {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	if opts.Audio == AudioAlter {
		if err := t.checkVoices(ctx); err != nil {
			return err
		}
	}
	name := cmp.Or(opts.Codec, defaultCodec)
	if name == SameAsSource {
		if cmp.Or(opts.Encoder, Software) == Software {
			return nil
		}
		name = defaultCodec
	}
	c, e, err := encoderFor(opts.Encoder, name)
	if err != nil {
		return err
	}
	switch there, err := t.offers(ctx, "-encoders", e.name); {
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("%w: %s has no encoder %s: install a build with it, or choose another codec",
			ErrTool, t.FFmpeg, e.name)
	case e.device == "":
		return nil
	}
	return t.tryEncoder(ctx, Plan{
		encoder: e, quality: c.quality, speed: slices.Index(presets, defaultPreset),
		format: formats["yuv420p"].PixelFormat, device: cmp.Or(opts.Device, DefaultVAAPIDevice),
	})
}
