// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSpans(t *testing.T) {
	for _, test := range []struct {
		span, at string // in the first week of March 2026, which begins with a Sunday
		want     bool
	}{
		{"22:00-06:00", "Mon 22:00", true}, {"22:00-06:00", "Mon 21:59", false},
		{"22:00-06:00", "Tue 05:59", true}, {"22:00-06:00", "Tue 06:00", false},
		{"08:00-24:00", "Mon 23:59", true}, {"08:00-24:00", "Tue 00:00", false},
		{"mon-fri 19:00-07:00", "Mon 06:00", false}, {"mon-fri 19:00-07:00", "Fri 23:00", true},
		{"mon-fri 19:00-07:00", "Sat 06:59", true}, {"mon-fri 19:00-07:00", "Sat 19:00", false},
		{"sat,sun", "Sat 00:00", true}, {"sat,sun", "Sun 23:59", true}, {"sat,sun", "Mon 00:00", false},
		{"fri-mon 12:00-13:00", "Sun 12:30", true}, {"fri-mon 12:00-13:00", "Tue 12:30", false},
		{"SUN 20:00-02:00", "Mon 01:00", true}, {"mon", "Mon 12:00", true},
	} {
		s, err := ParseSpan(test.span)
		require.NoError(t, err, test.span)
		assert.Equal(t, test.want, s.Includes(at(t, test.at)), "%s at %s", test.span, test.at)
	}
	for _, bad := range []string{"", "always", "22-06", "22:00", "22:00-", "6:00-7:00", "24:00-06:00", "22:00-22:00",
		"22:00-25:00", "mon-", "mon,,tue", "22:00-06:00 mon", "mon 22:00-06:00 x", "00:00-00:00"} {
		_, err := ParseSpan(bad)
		assert.Error(t, err, "%q", bad)
	}
}

// at returns a time in the first week of March 2026.
func at(t *testing.T, text string) time.Time {
	t.Helper()
	for d := 1; d <= 7; d++ {
		day := time.Date(2026, time.March, d, 0, 0, 0, 0, time.UTC)
		if day.Format("Mon") == text[:3] {
			clock, err := time.Parse("15:04", text[4:])
			require.NoError(t, err)
			return day.Add(time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute)
		}
	}
	t.Fatalf("no such day: %s", text)
	return time.Time{}
}

func FuzzParseSpan(f *testing.F) {
	for _, text := range []string{"22:00-06:00", "mon-fri 19:00-07:00", "sat,sun", "24:00-00:00", "-", "mon:-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpan(text)
		if err != nil {
			return
		}
		in := 0
		start := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
		for i := range 7 * 24 * 60 {
			if s.Includes(start.Add(time.Duration(i) * time.Minute)) {
				in++
			}
		}
		assert.Positive(t, in, "%q would never process anything", text)
	})
}

// fake returns a machine with an empty /proc and /sys.
func fake(t *testing.T) machine {
	t.Helper()
	return machine{t.TempDir(), t.TempDir()}
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o600))
}

func TestOnBattery(t *testing.T) {
	supply := func(m machine, name, kind, online string) {
		write(t, kind, m.sys, "class", "power_supply", name, "type")
		write(t, online, m.sys, "class", "power_supply", name, "online")
	}
	desktop, laptop, plugged, mouse := fake(t), fake(t), fake(t), fake(t)
	supply(laptop, "BAT0", "Battery", "")
	supply(laptop, "AC", "Mains", "0")
	supply(plugged, "BAT0", "Battery", "")
	supply(plugged, "AC", "Mains", "0")
	supply(plugged, "usb", "USB", "1")
	supply(mouse, "hid", "Battery", "")
	write(t, "Device", mouse.sys, "class", "power_supply", "hid", "scope")
	assert.False(t, desktop.onBattery())
	assert.True(t, laptop.onBattery())
	assert.False(t, plugged.onBattery())
	assert.False(t, mouse.onBattery())
}

// use writes how much processor time was used: by the machine, this process, and its child.
func use(t *testing.T, m machine, busy, idle, self, child int) {
	t.Helper()
	write(t, fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 1", busy, idle), m.proc, "stat")
	stat := func(id, parent, ticks int) string {
		return fmt.Sprintf("%d (a) b (c) S %d 1 1 0 -1 0 0 0 0 0 %d 0 0 0 20 0 1 0", id, parent, ticks)
	}
	write(t, stat(7, 1, self), m.proc, "self", "stat")
	write(t, stat(7, 1, self), m.proc, "7", "stat")
	write(t, stat(8, 7, child), m.proc, "8", "stat")
	write(t, stat(9, 1, 1000), m.proc, "9", "stat") // another program
}

// TestOthers checks that what this program and its children use does not count.
func TestOthers(t *testing.T) {
	m := fake(t)
	use(t, m, 1000, 1000, 100, 100)
	before, err := m.cpu()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		busy, idle, self, child int
		want                    float64
	}{
		"nobody":       {1000, 2000, 100, 100, 0},
		"only we":      {1900, 1100, 500, 600, 0},
		"only others":  {1500, 1500, 100, 100, 0.5},
		"both":         {1800, 1200, 300, 200, 0.5},
		"a child ends": {1800, 1200, 400, 0, 0.6},
		"no time":      {1000, 1000, 100, 100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			use(t, m, test.busy, test.idle, test.self, test.child)
			after, err := m.cpu()
			require.NoError(t, err)
			assert.InDelta(t, test.want, others(before, after), 1e-9)
		})
	}
	real, err := machine{"/proc", "/sys"}.cpu()
	require.NoError(t, err)
	assert.Positive(t, real.total)
	assert.LessOrEqual(t, real.own, real.busy)
	write(t, "cpu", m.proc, "stat")
	_, err = m.cpu()
	assert.Error(t, err)
}

// TestLook simulates an evening: hours, other programs, and the time until their load is known.
func TestLook(t *testing.T) {
	m := fake(t)
	now := at(t, "Mon 21:00")
	night, err := ParseSpan("22:00-06:00")
	require.NoError(t, err)
	var said []string
	s := New(Options{Hours: []Span{night}, PauseOnBattery: true, MaxOthers: 0.5,
		Hold: func(why string) { said = append(said, why) }, Logger: zaptest.NewLogger(t)})
	s.machine, s.now = m, func() time.Time { return now }
	busy, idle := 0, 0
	look := func(after time.Duration, share float64) {
		now = now.Add(after)
		ticks := int(after / time.Second)
		busy, idle = busy+int(share*float64(ticks)), idle+ticks-int(share*float64(ticks))
		use(t, m, busy, idle, 0, 0)
		s.Look()
	}
	look(0, 0)
	assert.Equal(t, []string{outsideHours}, said)
	look(59*time.Minute, 0)
	look(time.Minute, 1)
	assert.Equal(t, []string{outsideHours, othersWork}, said, "at 22:00 others are busy")
	look(100*time.Second, 0.45)
	assert.Len(t, said, 2, "not yet low enough")
	look(100*time.Second, 0.1)
	assert.Equal(t, []string{outsideHours, othersWork, ""}, said)
	write(t, "Battery", m.sys, "class", "power_supply", "BAT0", "type")
	look(100*time.Second, 0.1)
	assert.Equal(t, onBattery, said[3])
	require.NoError(t, os.RemoveAll(m.sys))
	require.NoError(t, os.Remove(filepath.Join(m.proc, "stat")))
	s.Look()
	assert.Empty(t, said[4], "where nothing is known, videos are processed")
	now = now.Add(12 * time.Hour)
	s.Look()
	assert.Equal(t, outsideHours, said[5])
}
