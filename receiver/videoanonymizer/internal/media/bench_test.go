// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const benchFrames = 600

// benchClip is 20 s of 1080p H.264 with some grain, like a camera's.
func benchClip(b *testing.B) string {
	return clip(b, "bench.mp4",
		fmt.Sprintf("-f lavfi -i testsrc2=s=1920x1080:r=30 -frames:v %d -vf noise=alls=6:allf=t "+
			"-c:v libx264 -preset veryfast -crf 23", benchFrames))
}

// cpu is the CPU time of this process and its exited children.
func cpu(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// BenchmarkTranscode compares decoding and encoding through the package with ffmpeg alone, in CPU time of this process
// and its children: cpu-ms/frame, plain-ms/frame, and their difference, extra-ms/frame.
func BenchmarkTranscode(b *testing.B) {
	tools, in, dir := testTools(b), benchClip(b), b.TempDir()
	var plain, ours time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		start := cpu(b)
		ffmpeg(b, []string{"-i", in, "-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-movflags",
			"+faststart"},
			filepath.Join(dir, fmt.Sprintf("plain%d.mp4", i)))
		plain += cpu(b) - start
		b.StartTimer()

		start = cpu(b)
		pts, err := transcode(b.Context(), tools, in, filepath.Join(dir, fmt.Sprintf("ours%d.mp4", i)), ReadOptions{},
			WriteOptions{}, nil)
		require.NoError(b, err)
		require.Len(b, pts, benchFrames)
		ours += cpu(b) - start
	}
	report(b, plain, ours)
}

// BenchmarkSegments compares decoding and encoding with and without one Seal in the middle. It reports the cost in wall
// time and in CPU time of this process and its children, also as a share of the time for 20 s of video. The fastest
// round of each counts, since other guests of the host slow down some.
func BenchmarkSegments(b *testing.B) {
	tools, in, dir := testTools(b), benchClip(b), b.TempDir()
	info, err := tools.Probe(b.Context(), in, Limits{})
	require.NoError(b, err)
	run := func(name string, segment int) (wall, used time.Duration) {
		began, start := time.Now(), cpu(b)
		r, err := tools.Open(b.Context(), info, ReadOptions{})
		require.NoError(b, err)
		defer r.Close()
		w, err := tools.createFor(b.Context(), filepath.Join(dir, name), info, WriteOptions{})
		require.NoError(b, err)
		sealedRun(b, r, w, every(segment), -1)
		return time.Since(began), cpu(b) - start
	}
	const long = time.Duration(math.MaxInt64)
	whole, sealed, wholeCPU, sealedCPU := long, long, long, long
	for i := 0; b.Loop(); i++ {
		wall, used := run(fmt.Sprintf("whole%d.mp4", i), benchFrames)
		whole, wholeCPU = min(whole, wall), min(wholeCPU, used)
		wall, used = run(fmt.Sprintf("sealed%d.mp4", i), benchFrames/2)
		sealed, sealedCPU = min(sealed, wall), min(sealedCPU, used)
	}
	b.ReportMetric(float64((sealed - whole).Milliseconds()), "wall-ms/seal")
	b.ReportMetric(float64((sealedCPU - wholeCPU).Milliseconds()), "cpu-ms/seal")
	b.ReportMetric(100*(sealedCPU.Seconds()/wholeCPU.Seconds()-1), "cpu-%")
}

// BenchmarkRead compares reading all frames with ffmpeg decoding to a null output.
func BenchmarkRead(b *testing.B) {
	tools, in := testTools(b), benchClip(b)
	info, err := tools.Probe(b.Context(), in, Limits{})
	require.NoError(b, err)
	var plain, ours time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		start := cpu(b)
		require.NoError(b, exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", in, "-f", "null", "-").Run())
		plain += cpu(b) - start
		b.StartTimer()

		start = cpu(b)
		r, err := tools.Open(b.Context(), info, ReadOptions{})
		require.NoError(b, err)
		n := 0
		for {
			f, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(b, err)
			f.Release()
			n++
		}
		r.Close()
		require.Equal(b, benchFrames, n)
		ours += cpu(b) - start
	}
	report(b, plain, ours)
}

func report(b *testing.B, plain, ours time.Duration) {
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) / benchFrames }
	b.ReportMetric(per(plain), "plain-ms/frame")
	b.ReportMetric(per(ours), "cpu-ms/frame")
	b.ReportMetric(per(ours-plain), "extra-ms/frame")
	b.ReportMetric(ours.Seconds()/plain.Seconds(), "of-plain")
}
