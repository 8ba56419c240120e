// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package track follows people through the frames of a video, so that a head stays masked in the frames in which it was
// not found, or which were not analyzed.
//
// Frames are pushed in order; some of them were analyzed, that is, searched for people. A frame's result is returned
// once the frames of the look-ahead window after it are known: a single pass over the video, in memory bounded by the
// window.
//
//  1. Association. The heads in an analyzed frame are located (mask.LocateHeads) and assigned to tracks. Each track
//     predicts its head by constant velocity; the assignment has the least total cost of head distance, box overlap and
//     change of size, as in SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016), with two differences.
//     There is no Kalman filter, because positions are known from both sides. And the gate is wide, because a wrong
//     link costs little here: both ends of a doubtful link are held as if it did not exist. A track can be continued
//     for as long as it is held.
//  2. Settling guesses. Where neither keypoints nor a face show the head, it is guessed by the box, and may come out
//     several times as large as it is. Sure sightings up to half a second before and after it settle it: it is masked
//     where they say, with a margin, if they show the same box and lie within the guess. Otherwise the guess stays.
//  3. Smoothing without lag. A sighting's center moves halfway to the line through the sightings before and after it,
//     its size grows to that of its neighbors, and the result is united with the original, so smoothing uncovers
//     nothing that was sure.
//  4. Filling in. Between two sightings the head is interpolated. Before the first and after the last it is held: moved
//     on by a damped velocity, and for the first 0.3 s united with where it was. The farther from a sighting, the
//     larger the mask, by up to half the head's size. Tracks without a sure sighting are held for a shorter time, and
//     so are second boxes of someone, whose keypoints lie on another one's head.
//  5. Closing gaps. If a head is masked in the frames before and after one but not in it, because different tracks mask
//     it, the gap is filled: no mask blinks.
//  6. Pillars. What does not move for a second before and after a frame, has neither a face nor a sure head, and whose
//     best keypoints from face to hips are far below those of people, is no person. Only figures from head to foot and
//     small boxes are judged; of people nearby, keypoints may not show.
//  7. Cuts. A cut ends every track. The frames on either side of a cut are often blended, so tracks reach one frame
//     across.
//
// A frame is masked whole if its analysis failed; if it was not analyzed, and the analysis of the nearest such frame
// before or after it failed; if no frame near it was analyzed; or if both adjacent frames are masked whole.
package track
