-- == approval ==
DROP TABLE approval_vote;
DROP TABLE approval;
