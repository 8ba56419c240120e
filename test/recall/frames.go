// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os/exec"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// video decodes the frames of a file in order, as they are stored: 8 bit, 4:2:0, without color conversion.
type video struct {
	path          string
	width, height int
	times         []float64 // of all frames, in seconds
	command       *exec.Cmd
	pixels        *bufio.Reader
	stderr        bytes.Buffer
}

func openVideo(ctx context.Context, path string) (*video, error) {
	info, err := footage.Probe(path)
	if err != nil {
		return nil, err
	}
	v := &video{path: path, width: info.Width, height: info.Height}
	if v.times, err = seconds(info.Times); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v.command = exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-fps_mode", "passthrough",
		"-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
	v.command.Stderr = &v.stderr
	pipe, err := v.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.pixels = bufio.NewReaderSize(pipe, 1<<20)
	return v, v.command.Start()
}

// next returns the next frame, or io.EOF after the last one.
func (v *video) next() (*image.YCbCr, error) {
	frame := image.NewYCbCr(image.Rect(0, 0, v.width, v.height), image.YCbCrSubsampleRatio420)
	for _, plane := range [][]byte{frame.Y, frame.Cb, frame.Cr} {
		if _, err := io.ReadFull(v.pixels, plane); err != nil {
			if errors.Is(err, io.EOF) && v.stderr.Len() == 0 {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("%s: %w: %s", v.path, err, bytes.TrimSpace(v.stderr.Bytes()))
		}
	}
	return frame, nil
}

// close stops the decoder, even in the middle of the video.
func (v *video) close() {
	_ = v.command.Process.Kill()
	_ = v.command.Wait()
}

// frameTimes returns the times of all frames of a video, in seconds.
func frameTimes(path string) ([]float64, error) {
	info, err := footage.Probe(path)
	if err != nil {
		return nil, err
	}
	return seconds(info.Times)
}

func seconds(texts []string) (times []float64, err error) {
	for i, text := range texts {
		time, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("frame %d has no time: %w", i, err)
		}
		times = append(times, time)
	}
	return times, nil
}
