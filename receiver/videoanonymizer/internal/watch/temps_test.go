// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestPicturesDoNotListTheFolder checks that the job of a picture removes its temporary files without reading its
// output's folder, which may hold ten thousand others, each of whose jobs would read it, too. What an earlier attempt
// left there is removed nevertheless.
func TestPicturesDoNotListTheFolder(t *testing.T) {
	ends := map[string]func(*testing.T, *Job){
		"done": func(t *testing.T, job *Job) {
			report := Companion{Temp: job.TempFor(".report.json"), Path: job.Output + ".json"}
			require.NoError(t, job.Publish(report))
			require.NoError(t, job.Done())
		},
		"failed":    func(t *testing.T, job *Job) { require.NoError(t, job.Fail("limit", nil)) },
		"abandoned": func(_ *testing.T, job *Job) { job.Abandon() },
	}
	tests := map[string]struct {
		name    string
		earlier bool // an earlier attempt left files
		restart bool // instead of resuming from them
		lists   bool
	}{
		"picture":           {name: "face.jpg"},
		"picture resumable": {name: "face.jpg", earlier: true, lists: true},
		"picture restarted": {name: "face.jpg", earlier: true, restart: true},
		"video":             {name: "walk.mkv", lists: true},
	}
	for name, tt := range tests {
		for end, conclude := range ends {
			t.Run(name+" "+end, func(t *testing.T) {
				r := newRig(t, func(r *rig) {
					r.opts.Config.Pictures = true
					r.opts.OutputName = func(rel string) string { return "masked-" + rel }
					r.opts.Companions = func(output string) []string { return []string{output + ".json"} }
				})
				r.drop(tt.name, "a face")
				job := r.take()
				if tt.earlier {
					write(t, job.TempFor(".earlier"), "a part")
					job.Suspend()
					job = r.take()
					require.True(t, job.Resumable())
				}
				if tt.restart {
					require.NoError(t, job.Restart())
				}
				for _, path := range []string{job.Temp, job.TempFor(".frames.json"), job.TempFor(".report.json")} {
					write(t, path, "a part")
				}
				listed := countListings(t, r.out)
				conclude(t, job)
				assert.Equal(t, tt.lists, listed() > 0)
				for _, left := range tree(t, r.out) {
					assert.False(t, strings.HasPrefix(filepath.Base(left), tempPrefix), left)
				}
			})
		}
	}
}

// countListings returns a function that returns how often programs have read the names in a folder since, see
// inotify(7).
func countListings(t *testing.T, folder string) (listings func() int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, folder, unix.IN_ACCESS|unix.IN_ONLYDIR)
	require.NoError(t, err)
	return func() (n int) {
		buffer := make([]byte, 64<<10)
		size, err := unix.Read(fd, buffer)
		if errors.Is(err, unix.EAGAIN) {
			return 0
		}
		require.NoError(t, err)
		for rest := buffer[:size]; len(rest) > 0; {
			event := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			if event.Mask&unix.IN_ISDIR != 0 {
				n++
			}
			rest = rest[unix.SizeofInotifyEvent+event.Len:]
		}
		return n
	}
}
