// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package footage finds the clips that build/footage.sh makes, and inspects videos with ffmpeg and ffprobe.
package footage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// Clip returns the path of a clip made by build/footage.sh, such as "walk.mp4".
func Clip(name string) (string, error) {
	path := filepath.Join(collector.Root(), "build", "cache", "footage", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("footage is missing, run make footage: %w", err)
	}
	return path, nil
}

// Info is what ffprobe reports after decoding a whole video.
type Info struct {
	Width, Height int
	// Times are the presentation timestamps of all frames in seconds, as ffprobe prints them.
	Times []string
}

// Probe decodes a video. It fails if any part of it cannot be decoded.
func Probe(path string) (Info, error) {
	output, err := run("ffprobe", "-v", "error", "-select_streams", "v:0",
		"-show_entries", "stream=width,height:frame=pts_time", "-of", "json", path)
	if err != nil {
		return Info{}, err
	}
	var probed struct {
		Streams []struct{ Width, Height int }
		Frames  []struct {
			Time string `json:"pts_time"`
		}
	}
	if err := json.Unmarshal(output, &probed); err != nil {
		return Info{}, fmt.Errorf("ffprobe %s: %w", path, err)
	}
	if len(probed.Streams) != 1 {
		return Info{}, fmt.Errorf("%s has no video", path)
	}
	info := Info{Width: probed.Streams[0].Width, Height: probed.Streams[0].Height}
	for _, frame := range probed.Frames {
		info.Times = append(info.Times, frame.Time)
	}
	return info, nil
}

// Gray is a grayscale frame: Pixels holds Width*Height values 0 (black) to 255 (white), row by row.
type Gray struct {
	Width, Height int
	Pixels        []byte
}

// At returns the gray level of a pixel.
func (g Gray) At(x, y int) byte { return g.Pixels[y*g.Width+x] }

// Decode returns all frames of a short video.
func Decode(path string) ([]Gray, error) {
	info, err := Probe(path)
	if err != nil {
		return nil, err
	}
	pixels, err := run("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-fps_mode", "passthrough",
		"-f", "rawvideo", "-pix_fmt", "gray", "-")
	if err != nil {
		return nil, err
	}
	size := info.Width * info.Height
	if len(pixels) != size*len(info.Times) {
		return nil, fmt.Errorf("%s: ffmpeg decoded %d bytes instead of %d frames of %d", path, len(pixels),
			len(info.Times), size)
	}
	var frames []Gray
	for i := range info.Times {
		frames = append(frames, Gray{Width: info.Width, Height: info.Height, Pixels: pixels[i*size : (i+1)*size]})
	}
	return frames, nil
}

// Cut copies the first seconds of a video to path without re-encoding.
func Cut(source, path string, seconds float64) error {
	_, err := run("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", source,
		"-t", strconv.FormatFloat(seconds, 'f', -1, 64), "-c", "copy", "-movflags", "+faststart", path)
	return err
}

// Loop writes a video to path several times in a row without re-encoding.
func Loop(source, path string, times int) error {
	_, err := run("ffmpeg", "-nostdin", "-v", "error", "-y", "-stream_loop", strconv.Itoa(times-1), "-i", source,
		"-c", "copy", path)
	return err
}

// Tone writes one second of audio, without video, to path.
func Tone(path string) error {
	_, err := run("ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=d=1", path)
	return err
}

func run(name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	command := exec.Command(name, args...)
	command.Stderr = &stderr
	output, err := command.Output()
	if err == nil && stderr.Len() > 0 { // ffprobe continues after an error, and exits 0
		err = errors.New("reports errors")
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", command.Args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return output, nil
}
