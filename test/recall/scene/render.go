// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Arguments returns the ffmpeg arguments that compose the clip from sources in a directory, without the output's path.
// Scaling and encoding do not depend on the processor, so every machine makes the same frames.
func (s Scene) Arguments(directory string) []string {
	args := []string{"-hide_banner", "-nostdin", "-loglevel", "error", "-y"}
	for _, p := range s.Pictures {
		args = append(args, "-i", filepath.Join(directory, Sources[p.From].Clip))
	}
	return append(args, "-filter_complex", s.graph(), "-map", "[out]", "-an", "-frames:v", fmt.Sprint(s.Frames),
		"-c:v", "libx264", "-preset", "fast", "-crf", "18", "-threads", "1", "-pix_fmt", "yuv420p",
		"-fflags", "+bitexact", "-flags:v", "+bitexact")
}

// graph returns the filter graph that overlays the pictures on a gray canvas, crops to what the camera sees, and adds
// the effect.
func (s Scene) graph() string {
	var graph strings.Builder
	fmt.Fprintf(&graph, "color=gray:s=%dx%d:r=%d,trim=end_frame=%d,format=yuv420p[canvas0];\n",
		s.Canvas[0], s.Canvas[1], s.Rate, s.Frames)
	for i, p := range s.Pictures {
		fmt.Fprintf(&graph, "[%d:v]%s[picture%d];\n", i, p.filter(s.Rate), i)
		// In a position, overlay counts frames from 1, so the time is clearer.
		fmt.Fprintf(&graph, "[canvas%d][picture%d]overlay=format=yuv420:x='%d+%d*(round(t*%d)-%d)'"+
			":y='%d+%d*(round(t*%d)-%d)':enable='between(n,%d,%d)'[canvas%d];\n", i, i,
			p.At[0], p.Move[0], s.Rate, p.Shown[0], p.At[1], p.Move[1], s.Rate, p.Shown[0], p.Shown[0], p.Shown[1], i+1)
	}
	fmt.Fprintf(&graph, "[canvas%d]crop=%d:%d:'%s':'%s'", len(s.Pictures), s.Size[0], s.Size[1],
		s.expression(0), s.expression(1))
	if s.Effect != "" {
		graph.WriteString("," + s.Effect)
	}
	graph.WriteString("[out]")
	return graph.String()
}

// filter returns the filters that make the frames of a picture; the first frame has the time at which it is first
// shown.
func (p Picture) filter(rate int) string {
	last := p.SourceFrame(p.Shown[1])
	filter := fmt.Sprintf("trim=start_frame=%d:end_frame=%d", p.Frame, last+1)
	if p.Step > 1 {
		filter += fmt.Sprintf(",select='not(mod(n,%d))'", p.Step)
	}
	filter += fmt.Sprintf(",settb=1/%d,setpts=N+%d,format=yuv420p,crop=%d:%d:%d:%d", rate, p.Shown[0],
		p.Crop[2], p.Crop[3], p.Crop[0], p.Crop[1])
	if p.Mirror {
		filter += ",hflip"
	}
	filter += map[int]string{90: ",transpose=clock", 180: ",hflip,vflip", 270: ",transpose=cclock"}[p.Turn]
	return filter + fmt.Sprintf(",scale=%d:%d:flags=lanczos+accurate_rnd+bitexact", p.Size[0], p.Size[1])
}

// expression returns the camera's path on an axis, as a function of the frame number n.
func (s Scene) expression(axis int) string {
	if len(s.Camera) == 0 {
		return "0"
	}
	expression := fmt.Sprint(s.Camera[len(s.Camera)-1].At[axis])
	for i := len(s.Camera) - 2; i >= 0; i-- {
		last, next := s.Camera[i], s.Camera[i+1]
		expression = fmt.Sprintf("if(lt(n,%d),%d+trunc(%d*(n-%d)/%d),%s)", next.Frame, last.At[axis],
			next.At[axis]-last.At[axis], last.Frame, next.Frame-last.Frame, expression)
	}
	return expression
}
