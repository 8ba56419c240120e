// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package track follows people through the frames of a video, so that a head stays masked in the frames in which it was
// not found, or not looked for.
//
// Frames are pushed in order; some were judged, that is, people were looked for in them. A frame's result is given once
// the frames of the look-ahead window after it are known, so that all that follows is a single pass over the video in
// memory bounded by the window.
//
//  1. Sightings. The heads of a judged frame are located (mask.LocateHeads) and assigned to paths: each path predicts its
//     head by constant velocity, and the assignment with the least total cost of head distance, box overlap and change of
//     size is taken, as in SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016) but with two differences.
//     A Kalman filter is not needed, because positions are judged from both sides; and the gate is wide, because a wrong
//     link costs little here: one that is doubtful leaves both its ends held as if it did not exist. A path can be linked
//     again for as long as it is held.
//  2. Smoothing without lag. A sighting's centre is moved half way to the line through the sightings before and after it,
//     its size is raised to that of its neighbours, and the result is united with what was judged, so that smoothing
//     uncovers nothing.
//  3. Between two sightings the head is interpolated; before the first and after the last it is held, that is, moved on by
//     a damped velocity and united with where it was last. The further from a sighting, the larger the mask becomes.
//  4. Closing. Where a head is masked in the frames before and after one, but not in it, because different paths mask it,
//     the gap is filled: no mask blinks.
//  5. A cut ends every path. Frames at either side of a cut are often blended, so paths reach one frame across it.
//
// A frame is masked whole if it could not be judged; if it was not judged and the next judgement before or after it
// failed; if nothing was judged near it at all; and if both its neighbours are masked whole.
package track
