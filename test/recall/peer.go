// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// peer is deface, another program that masks faces, as installed by `make recall-peer`.
type peer struct {
	path, version string
	toStart       time.Duration // CPU time of its startup
}

// fastDeface is deface with a fast non-maximum suppression.
//
//go:embed fast_deface.py
var fastDeface string

// errNoPeer says that the peer is not installed.
var errNoPeer = errors.New("deface is not installed; `make recall-peer` installs and measures it")

func findPeer(ctx context.Context) (*peer, error) {
	p := &peer{path: filepath.Join(collector.Root(), "build", "cache", "peer", "bin", "deface")}
	if _, err := os.Stat(p.path); err != nil {
		return nil, errNoPeer
	}
	command := exec.CommandContext(ctx, p.path, "--version")
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	p.version = strings.TrimSpace(string(output))
	p.toStart = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return p, nil
}

// python is the interpreter with which deface is installed.
func (p *peer) python() string { return filepath.Join(filepath.Dir(p.path), "python") }

// run writes a lossless output of a clip in RGB, the format in which deface computes, and of the clip's size: without
// macro_block_size, deface would scale to multiples of 16. The command is deface, or runs it.
func (p *peer) run(ctx context.Context, command []string, clip, output string, args ...string) (
	cpu time.Duration, err error,
) {
	line := slices.Concat(command, []string{clip, "--output", output, "--ffmpeg-config",
		`{"codec": "ffv1", "pixelformat": "bgr0", "macro_block_size": 1}`}, args)
	process := exec.CommandContext(ctx, line[0], line[1:]...)
	said, err := process.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("deface %v: %w: %s", args, err, lastLine(said))
	}
	if _, err := os.Stat(output); err != nil { // deface skips what it cannot read
		return 0, fmt.Errorf("deface %v: no output: %s", args, lastLine(said))
	}
	return max(0, process.ProcessState.UserTime()+process.ProcessState.SystemTime()-p.toStart), nil
}

// anonymize runs a clip through deface, in an empty directory. The source to compare with is deface's output without
// masks, so that only masks differ, regardless of deface's conversion to RGB and back.
func (p *peer) anonymize(ctx context.Context, v variant, clip, dir string) (made produced, err error) {
	made = produced{source: filepath.Join(dir, "source.mkv"), output: filepath.Join(dir, "output.mkv")}
	// deface detects faces even then; a tiny scale makes that fast.
	if _, err := p.run(ctx, []string{p.path}, clip, made.source, "--replacewith", "none", "--scale", "64x64"); err != nil {
		return made, err
	}
	command := []string{p.path}
	if v.equalTo != "" {
		command = []string{p.python(), "-c", fastDeface}
	}
	made.cpu, err = p.run(ctx, command, clip, made.output, "--replacewith", "solid",
		"--thresh", strconv.FormatFloat(v.threshold, 'f', -1, 64))
	return made, err
}

// movedTo moves annotations from the frames of a clip to the corresponding frames of another clip with the same
// content. If the peer repeats or drops frames, the corresponding frame is the nearest in time.
func (a annotation) movedTo(clip, other string) (annotation, error) {
	from, err := frameTimes(clip)
	if err != nil {
		return a, err
	}
	to, err := frameTimes(other)
	if err != nil {
		return a, err
	}
	if len(from) == len(to) || len(to) == 0 {
		return a, nil
	}
	frames := a.Frames
	a.Frames = nil
	for _, frame := range frames {
		if frame.Frame >= len(from) {
			return a, fmt.Errorf("%s has no frame %d, but the annotations do", clip, frame.Frame)
		}
		frame.Frame = nearest(to, from[frame.Frame]-from[0]+to[0])
		a.Frames = append(a.Frames, frame)
	}
	return a, nil
}

// nearest returns the index of the time nearest to another.
func nearest(times []float64, to float64) int {
	best := 0
	for i, time := range times {
		if math.Abs(time-to) < math.Abs(times[best]-to) {
			best = i
		}
	}
	return best
}

// peerThreshold is deface's default threshold.
const peerThreshold = 0.2

// equalCoverage measures the highest threshold at which deface covers a share, 0 to 1, of the annotated heads. It tries
// thresholds that decrease from the default by factors of the square root of 2. If none is low enough, it measures the
// lowest, and reached is false.
func (m *meter) equalCoverage(ctx context.Context, v variant, annotations []annotation, share float64) (
	r result, reached bool, err error,
) {
	const steps = 13 // down to 0.003
	var results [steps]result
	i := sort.Search(steps, func(i int) bool {
		r := result{variant: v}
		r.threshold = math.Round(1000*peerThreshold*math.Pow(2, -float64(i)/2)) / 1000
		if err == nil {
			r.clips, err = each(annotations, func(a annotation) (scoredClip, error) {
				return m.peerExcerpt(ctx, r.variant, a)
			})
		}
		if err != nil {
			return true
		}
		results[i] = r
		covered, all := r.selected("", both).count(groupNames[0])
		fmt.Printf("recall:   at threshold %g: %s\n", r.threshold, ratio(covered, all))
		return float64(covered) >= share*float64(all)
	})
	return results[min(i, steps-1)], i < steps, err
}

// peerExcerpt scores deface on the annotated frames alone, because deface masks each frame independently.
func (m *meter) peerExcerpt(ctx context.Context, v variant, a annotation) (scoredClip, error) {
	clip, err := m.allOfExcerpt(ctx, v, a)
	clip.Excerpt, clip.Tears, clip.Ghosts = true, nil, nil // its frames do not follow each other
	return clip, err
}

func (m *meter) allOfExcerpt(ctx context.Context, v variant, a annotation) (scoredClip, error) {
	source, err := footage.Clip(a.Clip)
	if err != nil {
		return scoredClip{}, err
	}
	return m.reused([]any{"excerpt", m.peer.version, v.threshold}, source, a, func() (scoredClip, error) {
		dir, err := os.MkdirTemp("", "recall")
		if err != nil {
			return scoredClip{}, err
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "excerpt.avi")
		if err := excerpt(ctx, a, source, path); err != nil {
			return scoredClip{}, err
		}
		a.Frames = slices.Clone(a.Frames)
		for n := range a.Frames {
			a.Frames[n].Frame = n
		}
		return m.score(ctx, v, a, path)
	})
}

// excerpt writes the annotated frames of a clip losslessly.
func excerpt(ctx context.Context, a annotation, clip, path string) error {
	var chosen []string
	for _, frame := range a.Frames {
		chosen = append(chosen, fmt.Sprintf("eq(n,%d)", frame.Frame))
	}
	// The timebase of the clip may be too coarse for 25 frames/s.
	filter := "select='" + sum(chosen) + "',settb=1/25,setpts=N"
	output, err := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-i", clip, "-an", "-vf", filter,
		"-fps_mode", "passthrough", "-c:v", "ffv1", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, output)
	}
	return nil
}

// sum returns an expression for ffmpeg that adds up terms in pairs, since it refuses a chain of 243.
func sum(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	half := len(terms) / 2
	return "(" + sum(terms[:half]) + "+" + sum(terms[half:]) + ")"
}
