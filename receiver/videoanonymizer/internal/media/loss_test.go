// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"io"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLostPackets checks packets lost from a transport stream, which leave frames incomplete. A few are reported, but
// do not make a video fail; many do, and so does a missing end.
func TestLostPackets(t *testing.T) {
	const size = 188
	whole, err := os.ReadFile(clip(t, "a.ts",
		"-f lavfi -i testsrc2=s=320x240:r=25:d=6,noise=alls=20:allf=t "+quick+"-g 25"))
	require.NoError(t, err)
	packets := len(whole) / size
	without := func(lost ...int) []byte {
		slices.Sort(lost)
		slices.Reverse(lost)
		data := slices.Clone(whole)
		for _, n := range lost {
			data = slices.Delete(data, n*size, (n+1)*size)
		}
		return data
	}
	for _, tc := range []struct {
		name    string
		data    []byte
		fails   bool
		damaged bool
	}{
		{"none", whole, false, false},
		{"one", without(packets / 2), false, true},
		{"three beside each other", without(packets/2, packets/2+1, packets/2+2), false, true},
		{"one in each tenth", without(packets/10, packets/5, packets*3/10, packets*2/5, packets/2, packets*3/5), true, true},
		{"one near the end", without(packets - 200), true, true},
		{"the end", whole[:len(whole)*3/5], true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			info, err := testTools(t).Probe(t.Context(), written(t, "a.ts", tc.data), Limits{})
			require.NoError(t, err)
			r, err := testTools(t).Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			frames := 0
			for err = nil; err == nil; frames++ {
				var f *Frame
				if f, err = r.Next(); err == nil {
					f.Release()
				}
			}
			if tc.fails {
				require.ErrorIs(t, err, ErrDamaged)
				assert.ErrorContains(t, err, "on_damaged: salvage")
			} else {
				require.ErrorIs(t, err, io.EOF)
				assert.Equal(t, 150, frames-1)
			}
			assert.Equal(t, tc.damaged, r.Damage() != nil, "%v", r.Damage())
		})
	}
}
