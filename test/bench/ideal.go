// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ideal is the cost that no program can avoid: decoding and encoding a video in a single ffmpeg, and running the
// inferences in ONNX Runtime alone, both at the same time on all cores.
type ideal struct {
	Wall       time.Duration  // until both have ended
	FFmpeg     time.Duration  // CPU time
	Inference  time.Duration  // CPU time
	Inferences map[string]int // by model
	Settings   string         // of the encoder
}

// CPU returns the CPU time of both.
func (i ideal) CPU() time.Duration { return i.FFmpeg + i.Inference }

// settings are ffmpeg options.
type settings struct{ decode, encode []string }

// These options determine the cost of decoding and encoding. Each takes a value.
var (
	decoderOptions = []string{"-threads"}
	encoderOptions = []string{"-pix_fmt", "-threads", "-c:v", "-preset", "-crf", "-x264-params", "-x265-params"}
)

// settingsOf extracts the settings from the command lines of the collector's children.
func settingsOf(children []child) (s settings, err error) {
	for _, c := range children {
		input := slices.Index(c.args, "-i")
		switch c.part() {
		case decoding:
			s.decode = options(c.args[:input], decoderOptions)
		case encoding:
			s.encode = options(c.args[input:], encoderOptions)
		}
	}
	if s.decode == nil || s.encode == nil {
		return s, errors.New("no decoder and encoder among the collector's children")
	}
	return s, nil
}

// options returns the arguments that are among the names, with their values.
func options(args, names []string) (found []string) {
	for i, arg := range args[:len(args)-1] {
		if slices.Contains(names, arg) {
			found = append(found, arg, args[i+1])
		}
	}
	return found
}

// measureIdeal measures the work that the last run of the pipeline could not avoid.
func (b *bench) measureIdeal(ctx context.Context, clip string, p pass) (i ideal, err error) {
	program, err := os.Executable()
	if err != nil {
		return ideal{}, err
	}
	inferences := exec.CommandContext(ctx, program, "-replay", b.recording(),
		"-from", strconv.FormatInt(p.begin.UnixNano(), 10), "-to", strconv.FormatInt(p.end.UnixNano(), 10))
	inferences.Stderr = os.Stderr
	start, err := inferences.StdinPipe()
	if err != nil {
		return ideal{}, err
	}
	stdout, err := inferences.StdoutPipe()
	if err != nil {
		return ideal{}, err
	}
	if err := inferences.Start(); err != nil {
		return ideal{}, err
	}
	defer func() { err = errors.Join(err, inferences.Wait()) }()
	said := bufio.NewReader(stdout)
	if _, err := said.ReadString('\n'); err != nil {
		return ideal{}, fmt.Errorf("%v: %w", inferences.Args, err)
	}

	args := slices.Concat([]string{"-nostdin", "-v", "error"}, p.settings.decode, []string{"-i", clip, "-an",
		"-fps_mode", "passthrough"}, p.settings.encode, []string{"-y", filepath.Join(b.dir, "ideal.mp4")})
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", args...)
	ffmpeg.Stderr = os.Stderr
	began := time.Now()
	if err := ffmpeg.Start(); err != nil {
		return ideal{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- ffmpeg.Wait() }()
	if _, err := start.Write([]byte("\n")); err != nil {
		return ideal{}, errors.Join(err, <-ended)
	}
	var result replayed
	err = json.NewDecoder(said).Decode(&result)
	if err := errors.Join(err, <-ended); err != nil {
		return ideal{}, fmt.Errorf("%v and %v: %w", ffmpeg.Args, inferences.Args, err)
	}
	state := ffmpeg.ProcessState
	return ideal{Wall: time.Since(began), FFmpeg: state.UserTime() + state.SystemTime(),
		Inference: result.CPU, Inferences: result.Inferences,
		Settings: strings.Join(p.settings.encode, " ")}, nil
}
