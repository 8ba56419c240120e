// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// every returns n times: first, first+apart, and so on.
func every(n int, first, apart int64) []int64 {
	times := make([]int64, n)
	for i := range times {
		times[i] = first + int64(i)*apart
	}
	return times
}

func TestUnits(t *testing.T) {
	ms := media.Rational{Num: 1, Den: 1000}
	for name, tc := range map[string]struct {
		index  media.Index
		length time.Duration
		want   []int // the first frame of each unit except the first
	}{
		"a key frame at each multiple": {media.Index{Times: every(100, 0, 100), Keys: every(10, 0, 1000)}, 3 * time.Second,
			[]int{30, 60}},
		"the rest belongs to the last unit": {media.Index{Times: every(74, 0, 100), Keys: every(10, 0, 1000)},
			3 * time.Second, []int{30}},
		"the rest is half a unit": {media.Index{Times: every(76, 0, 100), Keys: every(10, 0, 1000)}, 3 * time.Second,
			[]int{30, 60}},
		"key frames after the multiples": {media.Index{Times: every(100, 0, 100), Keys: every(10, 0, 1700)}, 3 * time.Second,
			[]int{34, 68}},
		"times count from the first frame": {media.Index{Times: every(100, -5000, 100), Keys: every(10, -5000, 1000)},
			3 * time.Second, []int{30, 60}},
		"sparse key frames": {media.Index{Times: every(200, 0, 100), Keys: every(3, 0, 7000)}, 3 * time.Second,
			[]int{70, 140}},
		"no unit is shorter than half": {media.Index{Times: every(200, 0, 100), Keys: []int64{0, 5000, 6000, 12000}},
			3 * time.Second, []int{50, 120}},
		"one key frame":                {media.Index{Times: every(200, 0, 100), Keys: []int64{0}}, 3 * time.Second, nil},
		"a key frame that is no frame": {media.Index{Times: every(100, 0, 100), Keys: []int64{3050}}, 3 * time.Second, nil},
		"shorter than a unit":          {media.Index{Times: every(9, 0, 100), Keys: every(9, 0, 100)}, 3 * time.Second, nil},
		"varying distances": {media.Index{Times: []int64{0, 10, 4000, 4001, 4002, 9000}, Keys: []int64{0, 4001}},
			3 * time.Second, []int{3}},
		"no length": {media.Index{Times: every(100, 0, 100), Keys: every(100, 0, 100)}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			units := Units(ms, tc.index, tc.length)
			checkUnits(t, units, tc.index)
			var cuts []int
			for _, u := range units[1:] {
				cuts = append(cuts, u.First)
			}
			assert.Equal(t, tc.want, cuts)
		})
	}
	assert.Empty(t, Units(ms, media.Index{}, time.Second))
}

// checkUnits checks that each frame is in exactly one unit, by its number and by its time.
func checkUnits(t *testing.T, units []Unit, index media.Index) {
	t.Helper()
	next := 0
	for i, u := range units {
		require.Equal(t, i, u.Number)
		require.Equal(t, next, u.First)
		require.Positive(t, u.Frames())
		next = u.End
		for _, at := range index.Times[u.First:u.End] {
			require.True(t, u.From <= at && at < u.To)
		}
		require.Equal(t, index.Times[u.First], u.From)
		if i > 0 {
			require.Contains(t, index.Keys, u.From)
			require.Equal(t, units[i-1].To, u.From)
		}
	}
	require.Equal(t, len(index.Times), next)
}

// FuzzUnits checks that each frame is in exactly one unit, whatever the times, the key frames and the length are.
func FuzzUnits(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0}, []byte{1, 0}, int64(time.Second), int64(1000))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, []byte{0}, int64(1), int64(1))
	f.Fuzz(func(t *testing.T, raw, keys []byte, length, perSecond int64) {
		var index media.Index
		for ; len(raw) >= 4; raw = raw[4:] { // spread over the whole range of times
			at := int64(int32(binary.LittleEndian.Uint32(raw))) << (raw[0] % 32)
			index.Times = append(index.Times, at)
		}
		slices.Sort(index.Times)
		index.Times = slices.Compact(index.Times)
		for _, k := range keys {
			if len(index.Times) > 0 {
				index.Keys = append(index.Keys, index.Times[int(k)%len(index.Times)])
			}
		}
		slices.Sort(index.Keys)
		unit := media.Rational{Num: 1, Den: 1 + (perSecond&0x7fffffff)%1_000_000}
		units := Units(unit, index, time.Duration(length&0x7fffffffffffffff))
		checkUnits(t, units, index)
		step := media.Rescale(length&0x7fffffffffffffff, media.Rational{Num: 1, Den: int64(time.Second)}, unit)
		for _, u := range units[min(1, len(units)):] {
			require.GreaterOrEqual(t, u.To-u.From, step/2, "no unit is shorter than half of the length")
		}
	})
}
